/// A ``RateLimit`` of the relay as a whole: of all shards, one lets something through in a second.
struct SharedRateLimit: Sendable {
  /// When the next one is let through, and how many have been held back.
  private let next: SharedWord
  private let held: SharedWord

  init(_ arena: Arena) {
    next = SharedWord(arena)
    held = SharedWord(arena)
  }

  /// How many there have been since the last one let through, this one included; nil where this one is held back.
  func admit(now: UInt64) -> UInt64? {
    let count = held.add(1)
    let seen = next.relaxed
    // Of two shards that find it due, one tells.
    guard now >= seen, next.replace(seen, by: now &+ Limits.second) else { return nil }
    held.add(-Int(count))
    return count
  }
}
