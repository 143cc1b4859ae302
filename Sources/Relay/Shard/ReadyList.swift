/// Connections to read, first come, first served: a list through the connections.
struct ReadyList {
  private var first: UInt32 = .none
  private var last: UInt32 = .none
  /// Connections that were ever added, and taken.
  private(set) var appended: UInt64 = 0
  private var popped: UInt64 = 0

  @inline(__always) var count: Int { Int(truncatingIfNeeded: appended &- popped) }
  @inline(__always) var isEmpty: Bool { first == .none }

  /// Whether all have been taken that were in the list when `appended` was `place`.
  func isPast(_ place: UInt64) -> Bool { isEmpty || Int64(truncatingIfNeeded: popped &- place) >= 0 }

  /// All who were in the list when `appended` was `place` have been taken, either to be put back in their order or for
  /// good: nobody has had a turn. Returns how many left.
  mutating func wereSorted(since place: UInt64, _ count: Int) -> UInt64 {
    let left = UInt64(truncatingIfNeeded: count) &- (appended &- place)
    popped = place &- (appended &- place)
    appended = place
    return left
  }

  /// Adds the connection at the end unless it is in the list.
  @inline(__always)
  mutating func append(_ index: UInt32, _ connections: borrowing ConnectionTable) {
    let connection = connections[index]
    guard !connection.pointee.flags.contains(.ready) else { return }
    connection.pointee.flags.insert(.ready)
    connection.pointee.nextReady = .none
    if last == .none { first = index } else { connections[last].pointee.nextReady = index }
    last = index
    appended &+= 1
  }

  @inline(__always)
  mutating func popFirst(_ connections: borrowing ConnectionTable) -> UInt32? {
    guard first != .none else { return nil }
    let index = first
    let connection = connections[index]
    first = connection.pointee.nextReady
    if first == .none { last = .none }
    connection.pointee.flags.remove(.ready)
    popped &+= 1
    return index
  }
}
