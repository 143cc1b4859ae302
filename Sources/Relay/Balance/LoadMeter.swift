import CLinux

/// Measures what each thread and each role did since the last time, for ``Balance``.
struct LoadMeter {
  private let threads: [ThreadMeter]
  private let counters: [Counters]
  private let whereabouts: [Whereabouts]
  private let firehoseMoves: Bool
  private var last: Reading?

  /// Threads without a role are not looked at, nor, where few threads have little to do, whether CPUs are idle.
  private struct Reading {
    var time: UInt64
    var threads: [(cpu: UInt64, waited: UInt64)?]
    var idle: UInt64?
    var roles: [Double]
  }

  private var looksForIdleCPUs = false

  /// `threads`: of the hosts that may have moving roles.
  init(threads: [ThreadMeter], counters: [Counters], _ whereabouts: [Whereabouts], firehoseMoves: Bool) {
    self.threads = threads
    self.counters = counters
    self.whereabouts = whereabouts
    self.firehoseMoves = firehoseMoves
  }

  /// What happened since the last call; nil at the first.
  mutating func measure(now: UInt64) -> Balance.Measurement? {
    let used = Set(whereabouts.map(\.host))
    let reading = Reading(
      time: now, threads: threads.indices.map { used.contains($0) ? threads[$0].times : nil },
      idle: looksForIdleCPUs ? voltlane_idle_cpu_time() : nil, roles: roleWork())
    defer { last = reading }
    guard let last, now > last.time else { return nil }
    // Of a thread that has just got its first role there is nothing to compare with yet.
    guard threads.indices.allSatisfy({ reading.threads[$0] == nil || last.threads[$0] != nil }) else { return nil }
    let elapsed = Double(now - last.time)
    func share(_ new: UInt64, _ old: UInt64) -> Double { new > old ? Double(new - old) / elapsed : 0 }
    var hosts = threads.indices.map { host in
      guard let new = reading.threads[host], let old = last.threads[host] else {
        return Balance.HostLoad(busy: 0, waited: 0, roles: [])
      }
      return Balance.HostLoad(busy: share(new.cpu, old.cpu), waited: share(new.waited, old.waited), roles: [])
    }
    for (role, whereabouts) in whereabouts.enumerated() {
      // Read once: roles move.
      let host = whereabouts.host
      guard host < hosts.count else { continue }
      let isFirehose = role == self.whereabouts.count - 1
      hosts[host].roles.append(
        Balance.RoleLoad(
          role: role, weight: reading.roles[role] - last.roles[role], moves: !isFirehose || firehoseMoves))
    }
    looksForIdleCPUs = used.count > 1 || hosts.contains { $0.busy >= Limits.busyToSpread / 2 }
    let idle = if let new = reading.idle, let old = last.idle { share(new, old) } else { 0.0 }
    return Balance.Measurement(hosts: hosts, idleCPUs: idle)
  }

  /// What each role has done since the start, in the cost of a small packet one way through a shard. It only has to say
  /// how the roles of one thread share its time.
  private func roleWork() -> [Double] {
    var all = 0.0
    var work = counters.dropLast().map { counters in
      let packets = Double(counters[.packetsUp] &+ counters[.packetsDown])
      let bytes = Double(counters[.bytesUp] &+ counters[.bytesDown])
      let traffic = packets + bytes / Limits.bytesLikeAPacket
      all += traffic
      return traffic + Double(counters[.clientsAccepted]) * Limits.packetsLikeAHandshake
    }
    work.append(all * Limits.firehoseShare)
    return work
  }
}
