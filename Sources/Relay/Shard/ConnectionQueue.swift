/// A shard's connections for which the relay waits, all for the same thing, the one for the longest first. Nothing is
/// searched, and one that leaves from the middle costs no more than the first.
///
/// Invariant: a connection is in the queue exactly if its `queue` says so, and so in one at most.
struct ConnectionQueue {
  enum Kind: UInt8 {
    case none
    /// Nothing whole has come of the handshake.
    case silent
    /// It has the relay's key, and the client has the next word.
    case halfway
    /// It has named a session and has its challenge, or owes the ping.
    case challenged
    /// Its ping has come, and the relay has the next word.
    case returning
  }

  private let kind: Kind
  private var head: UInt32 = .none
  private var last: UInt32 = .none

  init(_ kind: Kind) { self.kind = kind }

  var first: UInt32? { head == .none ? nil : head }

  mutating func append(_ index: UInt32, _ connections: borrowing ConnectionTable) {
    let connection = connections[index]
    assert(connection.pointee.queue == .none)
    connection.pointee.queue = kind
    connection.pointee.queueNext = .none
    connection.pointee.queuePrevious = last
    if last == .none { head = index } else { connections[last].pointee.queueNext = index }
    last = index
  }

  /// Takes a connection out, if it is in this queue.
  mutating func remove(_ index: UInt32, _ connections: borrowing ConnectionTable) {
    let connection = connections[index]
    guard connection.pointee.queue == kind else { return }
    connection.pointee.queue = .none
    let (next, previous) = (connection.pointee.queueNext, connection.pointee.queuePrevious)
    if previous == .none { head = next } else { connections[previous].pointee.queueNext = next }
    if next == .none { last = previous } else { connections[next].pointee.queuePrevious = previous }
  }
}
