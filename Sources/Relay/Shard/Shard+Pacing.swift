/// Limits on what an attached client sends: packets and bytes in a time, and silence.
extension Shard {
  /// Notes what has been read, for ``pace(_:_:)``.
  mutating func meter(_ index: UInt32, packets: Int, bytes: Int) {
    connections[index].pointee.meteredPackets &+= UInt32(truncatingIfNeeded: packets)
    connections[index].pointee.meteredBytes &+= UInt32(truncatingIfNeeded: bytes)
  }

  /// Counts what a read brought against the client's rates; over them it ends, or is not read until nothing is owed.
  @inline(never)
  mutating func pace<K: Kernel & ~Copyable>(_ index: UInt32, _ kernel: inout K) {
    let connection = connections[index]
    let (packets, bytes) = (connection.pointee.meteredPackets, connection.pointee.meteredBytes)
    connection.pointee.meteredPackets = 0
    connection.pointee.meteredBytes = 0
    guard connection.pointee.phase == .attached else { return }
    connection.pointee.lastRead = now(kernel)
    var (packetDebt, byteDebt): (UInt64, UInt64) = (0, 0)
    if let rate = settings.pace.packets {
      connection.pointee.packetTokens.charge(Int(packets), rate, now: kernel.now)
      packetDebt = connection.pointee.packetTokens.debt(rate, now: kernel.now)
    }
    if let rate = settings.pace.bytes {
      connection.pointee.byteTokens.charge(Int(bytes), rate, now: kernel.now)
      byteDebt = connection.pointee.byteTokens.debt(rate, now: kernel.now)
    }
    let debt = max(packetDebt, byteDebt)
    guard debt > 0 else { return }
    switch settings.pace.policy {
    case .end: fail(index, .rateLimit, &kernel)
    case .pause:
      let rate = packetDebt >= byteDebt ? ClientRate.packets : .bytes
      counters.add(rate.metric)
      if let count = admission.shared.log[rate].admit(now: kernel.now) {
        events.post(.clientsSlowed(rate, count: count), &kernel)
      }
      connection.pointee.flags.insert(.paused)
      connection.pointee.pausedSince = now(kernel)
      connection.pointee.resumes = kernel.now.adding(debt)
      wheel.arm(index, at: connection.pointee.resumes, connections)
    }
  }

  /// An attached client has come up in the wheel.
  mutating func attachedExpired<K: Kernel & ~Copyable>(_ index: UInt32, _ kernel: inout K) {
    let connection = connections[index]
    if connection.pointee.flags.contains(.paused) {
      guard connection.pointee.resumes <= kernel.now else {
        return wheel.arm(index, at: connection.pointee.resumes, connections)
      }
      resume(index, kernel)
    }
    let clock = now(kernel)
    guard connection.pointee.deadline > clock else { return fail(index, .packetTimeout, &kernel) }
    let silence = connection.pointee.lastRead.adding(settings.pace.idleTimeout)
    guard silence > clock else { return fail(index, .idleTimeout, &kernel) }
    let due = min(connection.pointee.deadline, silence).adding(pausedTotal)
    guard due != .max else { return }
    // While reading pauses the clock stands still: look again in a second.
    wheel.arm(index, at: pausedSince == .max ? due : max(due, kernel.now &+ Limits.second), connections)
  }

  /// Reads a client again that was over its rate; the time in between is none of its packet's.
  private mutating func resume<K: Kernel & ~Copyable>(_ index: UInt32, _ kernel: borrowing K) {
    let connection = connections[index]
    connection.pointee.flags.remove(.paused)
    connection.pointee.lastRead = now(kernel)
    if connection.pointee.deadline != .max {
      connection.pointee.deadline &+= now(kernel) &- connection.pointee.pausedSince
    }
    markReady(index)
  }

  /// Clients have other rates, or another time to be silent for: each begins anew.
  mutating func paceAnew<K: Kernel & ~Copyable>(_ kernel: borrowing K) {
    for index in 0..<connections.used where connections[index].pointee.phase == .attached {
      connections[index].pointee.packetTokens = TokenBucket()
      connections[index].pointee.byteTokens = TokenBucket()
      if connections[index].pointee.flags.contains(.paused) { resume(index, kernel) }
      beginSilence(index, kernel)
    }
  }

  /// Begins the clock of a client's silence.
  mutating func beginSilence<K: Kernel & ~Copyable>(_ index: UInt32, _ kernel: borrowing K) {
    guard settings.pace.idleTimeout != .max else { return }
    connections[index].pointee.lastRead = now(kernel)
    wheel.arm(index, at: kernel.now.adding(settings.pace.idleTimeout), connections)
  }
}
