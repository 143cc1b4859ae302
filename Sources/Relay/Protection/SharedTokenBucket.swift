/// A ``TokenBucket`` that several threads take from.
struct SharedTokenBucket: Sendable {
  private let word: SharedWord

  init(_ arena: Arena) { word = SharedWord(arena) }

  func take(_ rate: Rate, now: UInt64, grace: UInt64) -> Bool {
    while true {
      let seen = word.relaxed
      var bucket = TokenBucket(full: seen)
      let hasTaken = bucket.take(rate, now: now, grace: grace)
      if bucket.full == seen || word.replace(seen, by: bucket.full) { return hasTaken }
    }
  }
}
