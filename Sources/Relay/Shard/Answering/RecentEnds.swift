/// The last things of a kind that ended, with the oldest overwritten.
///
/// Invariant: the slots hold the last `min(total, capacity)` of `total` records, the one with number n in slot
/// n % capacity.
struct RecentEnds: ~Copyable {
  private let slots: SlotMemory<EndedRow>
  private var total: UInt64 = 0

  init() throws(RelayError) { slots = try SlotMemory(capacity: Limits.endedKept) }

  mutating func append(_ row: EndedRow) {
    slots[slot(of: total)] = row
    total &+= 1
  }

  /// The records before number `position`, or the newest for 0, newest first: at most `count`. Returns where the next
  /// ones are; nil if there are none.
  func list(before position: UInt64, count: Int, _ body: (EndedRow) -> Void) -> UInt64? {
    let oldest = total - min(total, UInt64(slots.capacity))
    var next = position == 0 ? total : min(position, total)
    for _ in 0..<count {
      guard next > oldest else { return nil }
      next -= 1
      body(slots[slot(of: next)])
    }
    return next > oldest ? next : nil
  }

  private func slot(of number: UInt64) -> UInt32 { UInt32(truncatingIfNeeded: number % UInt64(slots.capacity)) }
}
