/// Connections to read, first come, first served: a list through the connections.
struct ReadyList {
  private var first: UInt32 = .none
  private var last: UInt32 = .none
  private(set) var count = 0

  var isEmpty: Bool { count == 0 }

  /// Adds the connection at the end unless it is in the list.
  @inline(__always)
  mutating func append(_ index: UInt32, _ connections: borrowing ConnectionTable) {
    let connection = connections[index]
    guard !connection.pointee.flags.contains(.ready) else { return }
    connection.pointee.flags.insert(.ready)
    connection.pointee.nextReady = .none
    if last == .none { first = index } else { connections[last].pointee.nextReady = index }
    last = index
    count &+= 1
  }

  @inline(__always)
  mutating func popFirst(_ connections: borrowing ConnectionTable) -> UInt32? {
    guard first != .none else { return nil }
    let index = first
    let connection = connections[index]
    first = connection.pointee.nextReady
    if first == .none { last = .none }
    connection.pointee.flags.remove(.ready)
    count &-= 1
    return index
  }
}
