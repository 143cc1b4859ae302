/// Limits on what an attached client sends: the rates of its packets and bytes, and how long it may be silent.
extension Shard where K: ~Copyable {
  /// Notes what has been read, for ``pace(_:_:)``.
  mutating func meter(_ index: UInt32, packets: Int, bytes: Int) {
    connections[index].meteredPackets &+= UInt32(truncatingIfNeeded: packets)
    connections[index].meteredBytes &+= UInt32(truncatingIfNeeded: bytes)
  }

  /// Counts what a read brought against the client's rates. A client that exceeds them is ended, or paused until it is
  /// within them again.
  @inline(never)
  mutating func pace(_ index: UInt32, _ kernel: inout K) {
    let (packets, bytes) = (connections[index].meteredPackets, connections[index].meteredBytes)
    connections[index].meteredPackets = 0
    connections[index].meteredBytes = 0
    guard connections[index].phase == .attached else { return }
    connections[index].lastRead = now(kernel)
    // Tokens follow the machine's clock, because clients could send while the shard stood still.
    let (machineNow, grace) = (kernel.machineNow, kernel.grace)
    var (packetDebt, byteDebt): (UInt64, UInt64) = (0, 0)
    if let rate = settings.pace.packets {
      connections[index].packetTokens.charge(Int(packets), rate, now: machineNow, grace: grace)
      packetDebt = connections[index].packetTokens.debt(rate, now: machineNow)
    }
    if let rate = settings.pace.bytes {
      connections[index].byteTokens.charge(Int(bytes), rate, now: machineNow, grace: grace)
      byteDebt = connections[index].byteTokens.debt(rate, now: machineNow)
    }
    let debt = max(packetDebt, byteDebt)
    guard debt > 0 else { return }
    switch settings.pace.policy {
    case .end: endClient(index, .rateLimit, &kernel)
    case .pause:
      let rate = packetDebt >= byteDebt ? ClientRate.packets : .bytes
      events.tally(rate.metric, .info, of: named(connections[index].session), &kernel)
      pause(index, .overRate, kernel)
      connections[index].pausedUntil = kernel.now.adding(debt)
      wheel.arm(index, at: connections[index].pausedUntil, connections)
    }
  }

  /// An attached client has come up in the wheel by `time`.
  mutating func attachedExpired(_ index: UInt32, by time: UInt64, _ kernel: inout K) {
    if connections[index].pausedUntil <= time {
      connections[index].pausedUntil = .max
      unpause(index, .overRate, kernel)
    }
    if slowDeadline(index) <= time, endIfSlow(index, by: time, &kernel) { return }
    if connections[index].flags.isDisjoint(with: .paused) {
      let clock = readingClock.time(at: time)
      guard connections[index].deadline > clock || isStillRead(index, deadline: connections[index].deadline, by: clock)
      else { return endClient(index, .packetTimeout, &kernel) }
      guard silenceEnds(index) > clock else { return endClient(index, .idleTimeout, &kernel) }
    }
    // One that is late, and still read, comes up again in a tick.
    armAttached(index, notBefore: time, kernel)
  }

  /// When a client will have sent nothing for too long, in the shard's reading time.
  private func silenceEnds(_ index: UInt32) -> UInt64 {
    connections[index].lastRead.adding(settings.pace.idleTimeout)
  }

  /// Makes an attached client come up in the wheel for whatever is due first. While it is paused, nothing that it has
  /// to send is due.
  private mutating func armAttached(
    _ index: UInt32, notBefore earliest: UInt64 = 0, _ kernel: borrowing K
  ) {
    var due = min(connections[index].pausedUntil, slowDeadline(index))
    if connections[index].flags.isDisjoint(with: .paused) {
      let read = readingClock.moment(of: min(connections[index].deadline, silenceEnds(index)))
      // While all reading pauses the clock stands still: look again in a second.
      due = min(due, !readingClock.isStopped || read == .max ? read : max(read, kernel.now &+ Limits.second))
    }
    if due != .max { wheel.arm(index, at: max(due, earliest), connections) }
  }

  /// Pauses the reading of a client, for one of the reasons in ``Connection/Flags/paused``.
  mutating func pause(
    _ index: UInt32, _ reason: Connection.Flags, _ kernel: borrowing K
  ) {
    if connections[index].flags.isDisjoint(with: .paused) { connections[index].pausedSince = now(kernel) }
    connections[index].flags.formUnion(reason)
  }

  /// Ends one reason for the pause. If no other is left, the client is read again. The time in between does not count
  /// against its unfinished packet.
  mutating func unpause(
    _ index: UInt32, _ reason: Connection.Flags, _ kernel: borrowing K
  ) {
    guard !connections[index].flags.isDisjoint(with: reason) else { return }
    connections[index].flags.subtract(reason)
    guard connections[index].flags.isDisjoint(with: .paused) else { return }
    connections[index].lastRead = now(kernel)
    if connections[index].deadline != .max {
      connections[index].deadline &+= now(kernel) &- connections[index].pausedSince
    }
    armAttached(index, kernel)
    markReady(index)
  }

  /// Rates or the idle timeout have changed: every client starts afresh.
  mutating func paceAnew(_ kernel: borrowing K) {
    for index in 0..<connections.used where connections[index].phase == .attached {
      connections[index].packetTokens = TokenBucket()
      connections[index].byteTokens = TokenBucket()
      connections[index].pausedUntil = .max
      unpause(index, .overRate, kernel)
      beginSilence(index, kernel)
    }
  }

  /// Begins the clock of a client's silence.
  mutating func beginSilence(_ index: UInt32, _ kernel: borrowing K) {
    guard settings.pace.idleTimeout != .max else { return }
    connections[index].lastRead = now(kernel)
    wheel.arm(index, at: kernel.now.adding(settings.pace.idleTimeout), connections)
  }
}
