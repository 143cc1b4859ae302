#if DEBUG
/// What holds of a shard between turns. The simulation checks it after each one.
extension Shard where K: ~Copyable {
  /// Throws what does not hold. Looks at everything: for tests.
  mutating func checkInvariants(_ kernel: borrowing K) throws(InvariantViolation) {
    try connections.checkInvariants()
    try sessions.checkInvariants()
    try stale.checkInvariants(sessions)
    try memory.checkInvariants(connections)
    try workers.checkInvariants()
    try acceptor.checkInvariants()
    try peers.checkInvariants()
    try sweep.checkInvariants()
    try gather.checkInvariants()
    try sends.checkInvariants(connections)
    try readingClock.checkInvariants(now: kernel.now)
    try lists.clients.checkInvariants(connections)
    try lists.others.checkInvariants(connections)
    try unfinished.checkInvariants(connections.slots, used: connections.used)
    try checkCounts()
    for index in 0..<connections.used {
      do {
        try checkConnection(index, kernel)
      } catch {
        let phase = connections[index].phase
        throw InvariantViolation(description: "connection \(index), which is \(phase): \(error)")
      }
    }
    for slot in 0..<sessions.used {
      do {
        try checkSession(slot, kernel)
      } catch {
        let state = sessions[slot].state
        throw InvariantViolation(description: "session \(slot), which is \(state): \(error)")
      }
    }
  }

  /// What is counted, counted anew.
  private mutating func checkCounts() throws(InvariantViolation) {
    var (listed, queued, armed, handshakes) = ((clients: 0, others: 0), 0, 0, 0)
    for index in 0..<connections.used {
      let connection = connections[index]
      switch connection.list {
      case .none: break
      case .clients: listed.clients += 1
      case .others: listed.others += 1
      }
      if connection.queue != .none { queued += 1 }
      if connection.timer.tick != 0 { armed += 1 }
      if connection.standing.contains(.handshake) { handshakes += 1 }
    }
    try require(listed.clients == lists.clients.count, "\(listed.clients) say that they are on the list of clients")
    try require(listed.others == lists.others.count, "\(listed.others) say that they are on the list of others")
    let inQueues = try queues.checkInvariants(connections)
    try require(queued == inQueues, "\(queued) say that they are in a queue, \(inQueues) are")
    let inWheel = try wheel.checkInvariants(connections)
    try require(armed == inWheel, "\(armed) say that they are in the wheel, \(inWheel) are")
    try require(handshakes == admission.handshakes, "\(handshakes) shake hands, not \(admission.handshakes)")
  }

  // MARK: A connection

  private func checkConnection(
    _ index: UInt32, _ kernel: borrowing K
  ) throws(InvariantViolation) {
    let connection = connections[index]
    let phase = connection.phase
    try require(connection.list == .none || connection.list == phase.list, "is on the list of \(connection.list)")
    try checkQueue(connection)
    try require((connection.attempt != nil) == phase.isAttempt, "has an attempt and no use for it, or has none")
    guard phase.hasSocket else { return try checkGone(connection) }
    try require(connection.socket >= 0, "has no socket")
    try checkClock(index, connection)
    let flags = connection.flags
    try require(
      flags.isDisjoint(with: .held) || sends.areUnderWay, "waits for a send when none is under way: \(flags)")
    try require(!flags.contains(.lost) || flags.contains(.sending), "is lost and waits for no send")
    try require(!flags.contains(.unpolled) || index >= nextToPoll, "is not polled, and its turn is over")
    try require(connection.inboxCount == 0 || flags.contains(.sending), "has packets that nobody sends")
    try require(
      connection.pending.unsentCount == 0 || flags.contains(.waitsForRoom)
        || flags.isSuperset(of: [.wasReset, .finSeen]) || flags.contains(.sending),
      "has \(connection.pending.unsentCount) bytes to send and waits for no room")
    switch phase {
    case .free, .released: break
    case .proxy, .version:
      try require(connection.pending.isEmpty, "was sent something")
      try require(connection.session == .none, "has a session")
    case .key, .verifying, .sealing, .response, .opening, .ping, .returning:
      try require(connection.session == .none, "has a session")
    case .attached: try checkAttached(index, connection)
    case .halfClosed:
      try require(flags.contains(.finRead), "has not read the client's FIN")
      try require(connection.unfinished == nil, "has an unfinished packet")
      try checkOwner(index, connection.session, .halfClosed)
    case .closing:
      try require(connection.session == .none, "has a session")
      try require(connection.unfinished == nil, "has an unfinished packet")
      try require(!flags.contains(.finSent) || connection.pending.unsentCount == 0, "sent its FIN before the rest")
    }
  }

  /// The queue that it is in is the phase's, or one that the phase allows.
  private func checkQueue(_ connection: Connection) throws(InvariantViolation) {
    let queue = connection.queue
    guard queue != connection.phase.queue else { return }
    let keepsPacket = connection.flags.contains(.keepsPacket)
    switch (connection.phase, queue) {
    case (.key, .parkedNew), (.key, .parkedReturning):
      try require(keepsPacket, "waits for a worker without a packet")
    case (.key, .none):
      try require(keepsPacket && connection.list == .others, "waits for nothing")
    case (.response, .parkedReturning), (.attached, .gone): break
    default: throw InvariantViolation(description: "is in the queue \(queue)")
    }
  }

  /// A slot without a socket holds nothing.
  private func checkGone(_ connection: Connection) throws(InvariantViolation) {
    try require(connection.unfinished == nil, "has an unfinished packet")
    try require(connection.pending.isEmpty, "has something to send")
    try require(connection.standing.isSubset(of: .limited), "still counts: \(connection.standing)")
    try require(connection.session == .none, "has a session")
    try require(connection.timer.tick == 0, "is in the wheel")
    try require(connection.charged == 0 && connection.chargedLeaving == 0, "is charged for memory")
    if connection.phase == .released {
      try require(!connection.flags.isDisjoint(with: .held), "is held by nothing")
    }
  }

  /// Whatever is due comes up in the wheel in time.
  private func checkClock(_ index: UInt32, _ connection: Connection) throws(InvariantViolation) {
    guard connection.phase == .attached else {
      let isArmed = connection.deadline == .max || wheel.isArmed(connection.timer, for: connection.deadline)
      return try require(isArmed, "does not come up by \(connection.deadline)")
    }
    let isDue =
      connection.pausedUntil != .max || slowDeadline(index) != .max
      || (connection.deadline != .max && connection.flags.isDisjoint(with: .paused))
    try require(!isDue || connection.timer.tick != 0, "has a deadline and is not in the wheel")
  }

  private func checkAttached(_ index: UInt32, _ connection: Connection) throws(InvariantViolation) {
    try checkOwner(index, connection.session, .attached)
    let flags = connection.flags
    try require(
      flags.contains(.overRate) == (connection.pausedUntil != .max), "is over its rate until \(connection.pausedUntil)")
    try require(!flags.contains(.stashed) || connection.unfinished != nil, "has lost what came with the handshake")
    try require(flags.isDisjoint(with: [.finSent, .keepsPacket, .refused]), "has flags of other phases: \(flags)")
    let isRead = connection.list == .clients || !flags.isDisjoint(with: [.overRate, .backlogged, .lost])
    try require(!flags.contains(.hungUp) || isRead, "is to be read to the end, and nobody does")
    try require(!connection.isLetGo || flags.contains(.hungUp), "is let go, and is not read to the end")
  }

  /// Connection and session name each other.
  private func checkOwner(
    _ index: UInt32, _ slot: UInt32, _ state: Session.State
  ) throws(InvariantViolation) {
    guard slot != .none else { throw InvariantViolation(description: "has no session") }
    let session = sessions[slot]
    try require(session.connection == index, "its session has the connection \(session.connection)")
    try require(session.state == state, "its session is \(session.state)")
  }

  // MARK: A session

  private func checkSession(
    _ slot: UInt32, _ kernel: borrowing K
  ) throws(InvariantViolation) {
    let session = sessions[slot]
    switch session.state {
    case .free, .ending:
      try require(session.attempts == .none, "has attempts")
      try require(session.sessionKey == nil, "has a key")
    case .attached, .halfClosed:
      let connection = connections[session.connection]
      try require(connection.session == slot, "its connection has the session \(connection.session)")
    case .stale:
      try require(session.connection == .none, "has a connection")
      try require(session.staleSince <= kernel.now, "is stale from a time to come on")
    }
    try require(session.state == .stale || session.missed.isEmpty, "has missed packets")
    var (index, before, found) = (session.attempts, UInt32.none, 0)
    while index != .none {
      guard let attempt = connections[index].attempt?.value else {
        throw InvariantViolation(description: "lists connection \(index), which makes no attempt")
      }
      do {
        try attempt.checkInvariants(on: slot, session.id, after: before, now: kernel.now)
      } catch {
        throw InvariantViolation(description: "lists connection \(index), which \(error)")
      }
      found += 1
      try require(found <= connections.count, "its list of attempts has a loop")
      (before, index) = (index, attempt.next)
    }
  }
}
#endif
