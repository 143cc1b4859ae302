/// The shard's sessions whose clients are away: which one expires or is evicted next, what their clients missed, and
/// their share of what all shards together may have.
///
/// Invariant: a session is here exactly while its state is `stale`; what its client missed is charged to the budget of
/// missed packets for just as long.
struct StaleClients: ~Copyable {
  /// Of all shards.
  let totals: StaleTotals
  private var sessions: StaleSessions
  var missed: BudgetedHolders<MissedPackets>
  /// The oldest is looked at again then: its client has come back in time, and the relay has yet to act on that.
  private(set) var heldUntil: UInt64 = 0
  private let shard: Int

  init(_ totals: StaleTotals, missed: SharedBudget, capacity: Int, shard: Int) throws(RelayError) {
    self.totals = totals
    sessions = try StaleSessions(capacity: capacity)
    self.missed = BudgetedHolders(missed, shard: shard)
    self.shard = shard
  }

  /// The session that went stale first.
  @inline(__always) var oldest: UInt32? { sessions.oldest }

  /// The session that goes when the table is full: one that the backend never heard of, else the oldest of the prefix
  /// that holds most.
  var nextToEvict: UInt32? { sessions.nextToEvict }

  /// Another shard that has a session which the backend never heard of, while this one has none.
  func shardWithUnheard() -> Int? { sessions.unheardCount == 0 ? totals.shardWithUnheard() : nil }

  /// The session's client is gone; what it missed so far is in the session.
  mutating func add(_ slot: UInt32, _ table: borrowing SessionTable) {
    sessions.add(slot, table)
    totals.add(1, unheard: table[slot].isHeardOf ? 0 : 1, shard: shard)
    missed.budget.charge(table[slot].missed.memory)
    missed.update(slot, table.slots)
  }

  /// The session's client is back, or the session ends; what it missed is the caller's to take or clear.
  mutating func remove(_ slot: UInt32, _ table: borrowing SessionTable) {
    sessions.remove(slot, table)
    totals.add(-1, unheard: table[slot].isHeardOf ? 0 : -1, shard: shard)
    missed.budget.giveBack(table[slot].missed.memory)
    missed.remove(slot, table.slots)
  }

  /// The client missed one more packet. False where the system has no memory for it.
  mutating func keep(_ packet: ClientPacket, _ slot: UInt32, _ table: borrowing SessionTable) -> Bool {
    let memory = table[slot].missed.memory
    guard table[slot].missed.append(packet.bytes, packet.count) else { return false }
    missed.budget.charge(table[slot].missed.memory - memory)
    missed.update(slot, table.slots)
    return true
  }

  /// The oldest is not looked at before that.
  mutating func hold(until time: UInt64) { heldUntil = time }

  /// The backend has just been told of the session.
  mutating func noteHeardOf(_ slot: UInt32, _ table: borrowing SessionTable) {
    guard !table[slot].isHeardOf else { return }
    sessions.nowHeardOf(slot, table)
    totals.add(0, unheard: -1, shard: shard)
  }

  /// Whether another shard asked this one to make room in the table.
  @inline(__always) var isAsked: Bool { totals.requests.isAsked(shard) }

  /// The same. Clears the request.
  @inline(__always)
  func takeRequest() -> Bool { totals.requests.take(shard) }
}

#if DEBUG
extension StaleClients {
  func checkInvariants(_ table: borrowing SessionTable) throws(InvariantViolation) {
    try sessions.checkInvariants(table)
    try missed.checkInvariants(table.slots, used: table.used)
  }
}
#endif
