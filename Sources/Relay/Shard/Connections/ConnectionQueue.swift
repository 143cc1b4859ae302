/// Connections of a shard that wait for the same thing, the one that has waited longest first. Nothing is searched, and
/// leaving from the middle costs no more than leaving from the front.
///
/// Invariant: a connection is in the queue exactly if its `queue` says so, and so in one at most.
struct ConnectionQueue {
  enum Kind: UInt8 {
    case none
    /// No whole packet of the handshake has arrived.
    case silent
    /// The client has the relay's key, and owes its own or an id.
    case halfway
    /// The client has named a session, and owes the response to the challenge, or the ping.
    case challenged
    /// A new client's handshake waits for a worker.
    case parkedNew
    /// The handshake of a client that comes back waits for a worker.
    case parkedReturning
    /// The ping has come, and the reconnection has yet to take effect.
    case returning
    /// The poll said that an attached client sent its FIN or was reset.
    case gone

    /// Whether the connection waits for a worker, and is not read until one is free.
    @inline(__always) var isForWorker: Bool { self == .parkedNew || self == .parkedReturning }
  }

  private let kind: Kind
  private var head: UInt32 = .none
  private var last: UInt32 = .none

  init(_ kind: Kind) { self.kind = kind }

  @inline(__always) var first: UInt32? { head == .none ? nil : head }

  mutating func append(_ index: UInt32, _ connections: borrowing ConnectionTable) {
    assert(connections[index].queue == .none)
    connections[index].queue = kind
    connections[index].queueNext = .none
    connections[index].queuePrevious = last
    if last == .none { head = index } else { connections[last].queueNext = index }
    last = index
  }

  /// Takes a connection out that is in this queue.
  mutating func remove(_ index: UInt32, _ connections: borrowing ConnectionTable) {
    assert(connections[index].queue == kind)
    connections[index].queue = .none
    let (next, previous) = (connections[index].queueNext, connections[index].queuePrevious)
    if previous == .none { head = next } else { connections[previous].queueNext = next }
    if next == .none { last = previous } else { connections[next].queuePrevious = previous }
  }
}

/// All queues of a shard's connections. A connection's phase says which it joins (``Connection/Phase``); while it waits
/// for a worker, or is gone and not yet read to the end, the shard moves it.
struct ConnectionQueues {
  private(set) var silent = ConnectionQueue(.silent)
  private(set) var halfway = ConnectionQueue(.halfway)
  private(set) var challenged = ConnectionQueue(.challenged)
  private(set) var parkedNew = ConnectionQueue(.parkedNew)
  private(set) var parkedReturning = ConnectionQueue(.parkedReturning)
  private(set) var returning = ConnectionQueue(.returning)
  private(set) var gone = ConnectionQueue(.gone)

  /// Takes a connection out of its queue, where it is in one, and puts it at the end of another.
  @inline(never)
  mutating func move(_ index: UInt32, to queue: ConnectionQueue.Kind, _ connections: borrowing ConnectionTable) {
    switch connections[index].queue {
    case .none: break
    case .silent: silent.remove(index, connections)
    case .halfway: halfway.remove(index, connections)
    case .challenged: challenged.remove(index, connections)
    case .parkedNew: parkedNew.remove(index, connections)
    case .parkedReturning: parkedReturning.remove(index, connections)
    case .returning: returning.remove(index, connections)
    case .gone: gone.remove(index, connections)
    }
    switch queue {
    case .none: break
    case .silent: silent.append(index, connections)
    case .halfway: halfway.append(index, connections)
    case .challenged: challenged.append(index, connections)
    case .parkedNew: parkedNew.append(index, connections)
    case .parkedReturning: parkedReturning.append(index, connections)
    case .returning: returning.append(index, connections)
    case .gone: gone.append(index, connections)
    }
  }
}

#if DEBUG
extension ConnectionQueue {
  /// Returns how many connections are in the queue.
  fileprivate func checkInvariants(_ connections: borrowing ConnectionTable) throws(InvariantViolation) -> Int {
    var (index, before, found) = (head, UInt32.none, 0)
    while index != .none {
      let connection = connections[index]
      let queue = connection.queue
      try require(queue == kind, "connection \(index) is in the queue \(kind) and says \(queue)")
      try require(connection.queuePrevious == before, "connection \(index) does not follow \(before)")
      found += 1
      try require(found <= connections.count, "the queue \(kind) has a loop")
      (before, index) = (index, connection.queueNext)
    }
    try require(last == before, "the queue \(kind) ends at \(before), not at \(last)")
    return found
  }
}

extension ConnectionQueues {
  /// Returns how many connections are in any queue.
  func checkInvariants(_ connections: borrowing ConnectionTable) throws(InvariantViolation) -> Int {
    var found = try silent.checkInvariants(connections)
    found += try halfway.checkInvariants(connections)
    found += try challenged.checkInvariants(connections)
    found += try parkedNew.checkInvariants(connections)
    found += try parkedReturning.checkInvariants(connections)
    found += try returning.checkInvariants(connections)
    return try found + gone.checkInvariants(connections)
  }
}
#endif
