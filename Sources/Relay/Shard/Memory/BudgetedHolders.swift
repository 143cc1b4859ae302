/// The slots of a shard that hold memory of a kind which all shards together have a budget for: over the budget the
/// largest holder is evicted, wherever it is.
///
/// Invariant: the budget knows the size of this shard's largest holder, to within a factor of two.
struct BudgetedHolders<Memory: HeldMemory>: ~Copyable {
  let budget: SharedBudget
  private var holders = LargestHolders<Memory>()
  private let shard: Int

  init(_ budget: SharedBudget, shard: Int) {
    self.budget = budget
    self.shard = shard
  }

  /// The size of the largest, to within a factor of two; 0 where there is none.
  var largestClass: Int { holders.largestClass }

  /// What the slot holds has changed.
  mutating func update(_ index: UInt32, _ slots: borrowing SlotMemory<Memory.Slot>) {
    holders.update(index, slots)
    budget.publishLargest(holders.largestClass, of: shard)
  }

  /// The slot leaves, whatever it holds.
  mutating func remove(_ index: UInt32, _ slots: borrowing SlotMemory<Memory.Slot>) {
    holders.remove(index, slots)
    budget.publishLargest(holders.largestClass, of: shard)
  }

  mutating func largest(_ slots: borrowing SlotMemory<Memory.Slot>) -> UInt32? { holders.largest(slots) }

  /// The shard that has to evict its largest holder; nil while the budget suffices.
  func shardToEvict() -> Int? {
    guard budget.isExceeded else { return nil }
    let other = budget.shardWithLargest()
    return budget.largest(of: other) <= largestClass ? shard : other
  }

  /// Whether another shard asked this one to evict its largest holder.
  @inline(__always) var isAsked: Bool { budget.requests.isAsked(shard) }

  /// The same. Clears the request.
  @inline(__always)
  func takeRequest() -> Bool { budget.requests.take(shard) }
}

#if DEBUG
extension BudgetedHolders {
  func checkInvariants(_ slots: borrowing SlotMemory<Memory.Slot>, used: UInt32) throws(InvariantViolation) {
    try holders.checkInvariants(slots, used: used)
    let published = budget.largest(of: shard)
    try require(published == UInt64(largestClass), "\(Memory.self): \(published) is published, not \(largestClass)")
  }
}
#endif
