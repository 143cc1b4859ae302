/// Tells the log of refusals, once a second a reason for the relay as a whole, and counts those it held back.
struct RefusalLog: Sendable {
  /// For each reason, when the next one may be told, and how many have been held back.
  private let next: [SharedWord]
  private let held: [SharedWord]

  init(_ arena: Arena) {
    next = RefusalReason.allCases.map { _ in SharedWord(arena) }
    held = RefusalReason.allCases.map { _ in SharedWord(arena) }
  }

  /// How many there have been since the last one that was told, this one included; nil where this one is held back.
  func admit(_ reason: RefusalReason, now: UInt64) -> UInt64? {
    let count = held[Int(reason.rawValue)].add(1)
    let due = next[Int(reason.rawValue)]
    let seen = due.relaxed
    // Of two shards that find it due, one tells.
    guard now >= seen, due.replace(seen, by: now &+ Limits.second) else { return nil }
    held[Int(reason.rawValue)].add(-Int(count))
    return count
  }
}
