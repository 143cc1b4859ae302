/// Lets something through once a second and counts what it held back.
struct RateLimit {
  private var next: UInt64 = 0
  private var held: UInt64 = 0

  /// How many there have been since the last one that was let through, including this one; nil if this one is held
  /// back.
  mutating func countToLog(now: UInt64) -> UInt64? {
    held += 1
    guard now >= next else { return nil }
    next = now.adding(Limits.second)
    defer { held = 0 }
    return held
  }
}
