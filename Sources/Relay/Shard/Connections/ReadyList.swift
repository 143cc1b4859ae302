/// Connections to read, first come, first served: a list through the connections.
///
/// Invariant: a connection is on the list exactly if its `list` says so, and so on one at most; their `readyPlace`
/// rises from the first to the last, and `appended` is the place of the next.
struct ReadyList {
  enum Kind: UInt8 {
    case none
    /// Attached clients. They are read while the uplink has room.
    case clients
    /// Connections that shake hands or close: what is read of them needs no room there.
    case others
  }

  private let kind: Kind
  private(set) var first: UInt32 = .none
  private var last: UInt32 = .none
  private(set) var count = 0
  /// Connections that were ever added. Wraps around: places are compared by their difference.
  private(set) var appended: UInt32 = 0

  init(_ kind: Kind) { self.kind = kind }

  @inline(__always) var isEmpty: Bool { first == .none }

  /// Whether every connection that was on the list when `appended` was `place` has left it.
  func isPast(_ place: UInt32, _ connections: borrowing ConnectionTable) -> Bool {
    isEmpty || Int32(bitPattern: connections[first].readyPlace &- place) >= 0
  }

  /// Adds the connection at the end unless it is on a list.
  @inline(__always)
  mutating func append(_ index: UInt32, _ connections: borrowing ConnectionTable) {
    let connection = connections.address(index)
    guard connection.pointee.list == .none else { return }
    connection.pointee.list = kind
    connection.pointee.readyPlace = appended
    connection.pointee.nextReady = .none
    connection.pointee.previousReady = last
    if last == .none { first = index } else { connections[last].nextReady = index }
    last = index
    appended &+= 1
    count &+= 1
  }

  @inline(__always)
  mutating func popFirst(_ connections: borrowing ConnectionTable) -> UInt32? {
    guard first != .none else { return nil }
    let index = first
    let connection = connections.address(index)
    // The new first connection keeps a stale link to its left, which nothing reads.
    first = connection.pointee.nextReady
    if first == .none { last = .none }
    connection.pointee.list = .none
    count &-= 1
    return index
  }

  /// Takes a connection out that is on this list.
  mutating func remove(_ index: UInt32, _ connections: borrowing ConnectionTable) {
    assert(connections[index].list == kind)
    guard index != first else {
      _ = popFirst(connections)
      return
    }
    connections[index].list = .none
    let (next, previous) = (connections[index].nextReady, connections[index].previousReady)
    connections[previous].nextReady = next
    if next == .none { last = previous } else { connections[next].previousReady = previous }
    count &-= 1
  }
}

/// Both lists of connections to read.
struct ReadyLists {
  var clients = ReadyList(.clients)
  var others = ReadyList(.others)

  /// Takes a connection off the list that it is on, and puts it at the end of another.
  @inline(never)
  mutating func move(_ index: UInt32, to list: ReadyList.Kind, _ connections: borrowing ConnectionTable) {
    switch connections[index].list {
    case .none: break
    case .clients: clients.remove(index, connections)
    case .others: others.remove(index, connections)
    }
    switch list {
    case .none: break
    case .clients: clients.append(index, connections)
    case .others: others.append(index, connections)
    }
  }
}

#if DEBUG
extension ReadyList {
  func checkInvariants(_ connections: borrowing ConnectionTable) throws(InvariantViolation) {
    var (index, before, found) = (first, UInt32.none, 0)
    while index != .none {
      let connection = connections[index]
      let list = connection.list
      try require(list == kind, "connection \(index) is on the list of \(kind) and says \(list)")
      if found > 0 {
        try require(connection.previousReady == before, "connection \(index) does not follow \(before)")
        let step = connection.readyPlace &- connections[before].readyPlace
        try require(Int32(bitPattern: step) > 0, "connection \(index) has a place before that of \(before)")
      }
      found += 1
      try require(found <= count, "the list of \(kind) is longer than \(count)")
      (before, index) = (index, connection.nextReady)
    }
    try require(found == count, "the list of \(kind) has \(found) connections, not \(count)")
    try require(last == before, "the list of \(kind) ends at \(before), not at \(last)")
  }
}
#endif
