/// A shard's clients whose sockets take nothing, the one for the longest first. All have the same time, so the list by
/// age is also the list by deadline: nothing is searched.
///
/// Invariant: `slowSince` grows along the list, and a connection is in it exactly if its flag `slow` is set.
struct SlowReaders {
  private var head: UInt32 = .none
  private var last: UInt32 = .none

  var first: UInt32? { head == .none ? nil : head }

  /// A socket takes nothing, now that it has taken all that it took. One that is in the list keeps its place.
  mutating func add(_ index: UInt32, now: UInt64, _ connections: borrowing ConnectionTable) {
    let connection = connections[index]
    guard !connection.pointee.flags.contains(.slow) else { return }
    connection.pointee.flags.insert(.slow)
    connection.pointee.slowSince = now
    connection.pointee.slowNext = .none
    connection.pointee.slowPrevious = last
    if last == .none { head = index } else { connections[last].pointee.slowNext = index }
    last = index
  }

  /// The first one does not answer at all: it is looked at again when it would be the first anew.
  mutating func postponeFirst(now: UInt64, _ connections: borrowing ConnectionTable) {
    let index = head
    remove(index, connections)
    add(index, now: now, connections)
    connections[index].pointee.flags.insert(.unreachable)
  }

  /// It took something, or ends.
  mutating func remove(_ index: UInt32, _ connections: borrowing ConnectionTable) {
    let connection = connections[index]
    guard connection.pointee.flags.contains(.slow) else { return }
    connection.pointee.flags.subtract([.slow, .unreachable])
    let (next, previous) = (connection.pointee.slowNext, connection.pointee.slowPrevious)
    if previous == .none { head = next } else { connections[previous].pointee.slowNext = next }
    if next == .none { last = previous } else { connections[next].pointee.slowPrevious = previous }
  }
}
