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
  var pendingShare = Limits.pendingPerTurn

  init(_ arena: Arena) { list = SlotList(arena) }

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
