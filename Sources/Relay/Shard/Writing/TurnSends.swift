/// The sends of one turn: the connections that have packets in it, from when these are sorted until their sends have
/// settled.
///
/// Invariant: between turns connections are listed only while sends are under way; each is listed once, and holds its
/// slot until then.
struct TurnSends {
  /// The connections.
  let list: SlotList
  /// Sends are queued, or have started and are not settled.
  private(set) var areUnderWay = false
  /// Something other than the next packets waits for them.
  private(set) var areAwaited = false
  /// How many of the bytes that wait for clients may still be sent in this turn.
  private(set) var pendingShare = Limits.pendingPerTurn
  /// About how many clients of other shards at the same host have something to send in this turn.
  var elsewhere = 0

  init(_ arena: Arena) { list = SlotList(arena) }

  /// A turn begins.
  mutating func beginTurn() { pendingShare = Limits.pendingPerTurn }

  /// Bytes that waited for a client were sent.
  mutating func spend(_ byteCount: Int) {
    pendingShare -= byteCount
  }

  /// A send was queued in the kernel.
  @inline(__always)
  mutating func queued() { areUnderWay = true }

  mutating func markAwaited() { areAwaited = true }

  /// The kernel has settled all of them.
  mutating func settle() {
    list.removeAll()
    areUnderWay = false
    areAwaited = false
  }
}

#if DEBUG
extension TurnSends {
  func checkInvariants(_ connections: borrowing ConnectionTable) throws(InvariantViolation) {
    try require(areUnderWay || list.count == 0, "\(list.count) connections have something to send")
    try require(pendingShare <= Limits.pendingPerTurn, "a turn may send \(pendingShare) bytes that waited")
    var listed: Set<UInt32> = []
    for entry in 0..<list.count {
      let isNew = listed.insert(list[entry]).inserted
      try require(isNew, "connection \(list[entry]) is listed for two sends")
    }
    for index in 0..<connections.used where !connections[index].flags.isDisjoint(with: .held) {
      try require(listed.contains(index), "connection \(index) waits for a send, and is not listed for one")
    }
  }
}
#endif
