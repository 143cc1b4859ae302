import CLinux

/// Measures what each thread and each role did since the last time, for ``Balance``.
struct LoadMeter {
  private let threads: [ThreadMeter]
  private let counters: [Counters]
  private let whereabouts: [Whereabouts]
  private let firehoseMoves: Bool
  /// CPUs' worth of time that the process may have; nil without a limit.
  private let cpuTime: Double?
  private var last: Reading?
  private var missingTime = MissingTime()
  /// The kernel does not say how long CPUs are idle. Known once somebody wanted to know.
  private(set) var idlenessIsUnknown = false

  /// Threads without a role are not looked at, nor, where few threads have little to do, whether CPUs are idle.
  private struct Reading {
    var time: UInt64
    var threads: [(cpu: UInt64, waited: UInt64, slept: UInt64, isWatched: Bool)?]
    var idle: UInt64?
    var process: UInt64
    var roles: [Double]
  }

  private var looksForIdleCPUs = false

  /// `threads`: of the hosts that may have moving roles.
  init(
    threads: [ThreadMeter], counters: [Counters], _ whereabouts: [Whereabouts], firehoseMoves: Bool,
    cpuTime: Double? = nil
  ) {
    self.threads = threads
    self.counters = counters
    self.whereabouts = whereabouts
    self.firehoseMoves = firehoseMoves
    self.cpuTime = cpuTime
  }

  /// What happened since the last call; nil at the first.
  mutating func measure(now: UInt64) -> Balance.Measurement? {
    let used = Set(whereabouts.map(\.host))
    let reading = Reading(
      time: now, threads: threads.indices.map { used.contains($0) ? read(threads[$0], now) : nil },
      idle: looksForIdleCPUs ? voltlane_idle_cpu_time() : nil, process: voltlane_process_cpu_time(), roles: roleWork())
    defer { last = reading }
    guard let last, now > last.time else { return nil }
    // Of a thread that has just got its first role there is nothing to compare with yet.
    guard threads.indices.allSatisfy({ reading.threads[$0] == nil || last.threads[$0] != nil }) else { return nil }
    let elapsed = Double(now - last.time)
    func share(_ new: UInt64, _ old: UInt64) -> Double { new > old ? Double(new - old) / elapsed : 0 }
    var isInDoubt = false
    var hosts = threads.indices.map { host in
      guard let new = reading.threads[host], let old = last.threads[host] else {
        return Balance.HostLoad(busy: 0, waited: 0, roles: [])
      }
      let (cpu, waited) = (share(new.cpu, old.cpu), share(new.waited, old.waited))
      let slept = new.isWatched && old.isWatched ? share(new.slept, old.slept) : nil
      isInDoubt = isInDoubt || missingTime.matters(cpu: cpu)
      return Balance.HostLoad(busy: missingTime.busy(cpu: cpu, waited: waited, slept: slept), waited: waited, roles: [])
    }
    let watches = missingTime.watches(isInDoubt: isInDoubt)
    for thread in threads where thread.isWatched != watches { thread.isWatched = watches }
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
    return Balance.Measurement(
      hosts: hosts, idleCPUs: idleCPUs(reading, last, share),
      isShortOfCPUs: isShort(share(reading.process, last.process)))
  }

  private func read(
    _ thread: ThreadMeter, _ now: UInt64
  ) -> (cpu: UInt64, waited: UInt64, slept: UInt64, isWatched: Bool) {
    let times = thread.times
    return (times.cpu, times.waited, thread.slept(by: now), thread.isWatched)
  }

  /// nil if the kernel does not say.
  private mutating func idleCPUs(
    _ new: Reading, _ old: Reading, _ share: (UInt64, UInt64) -> Double
  ) -> Double? {
    // For want of a descriptor or of memory the kernel may not be asked this time.
    guard let newIdle = new.idle, let oldIdle = old.idle, newIdle != .max, oldIdle != .max else { return 0 }
    idlenessIsUnknown = newIdle == 0
    return idlenessIsUnknown ? nil : share(newIdle, oldIdle)
  }

  /// Whether another thread would only use up sooner what a control group allows.
  private func isShort(_ process: Double) -> Bool {
    guard let cpuTime else { return false }
    return cpuTime - process < Limits.idleToSpread
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
