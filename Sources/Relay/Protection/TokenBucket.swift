/// A bucket of tokens in one word: the time at which it will be full again. Tokens arrive at a ``Rate``; a bucket that
/// was never touched, all zero bits, is full. (This is known as the generic cell rate algorithm.)
///
///          now                      full
///     ------|------------------------|-------> time
///           |<- the tokens missing ->|
struct TokenBucket: BitwiseCopyable {
  private(set) var full: UInt64

  init(full: UInt64 = 0) { self.full = full }

  /// Takes a token. False, with nothing taken, if there is none.
  mutating func take(_ rate: Rate, now: UInt64, grace: UInt64 = 0) -> Bool {
    fit(rate, now: now)
    guard hasToken(rate, now: now) else { return false }
    charge(1, rate, now: now, grace: grace)
    return true
  }

  func hasToken(_ rate: Rate, now: UInt64) -> Bool { missing(now) <= rate.time(for: rate.burst - 1) }

  /// At most a whole bucket of this rate is missing, whatever the rate was when tokens were taken.
  mutating func fit(_ rate: Rate, now: UInt64) { full = min(full, now &+ rate.time(for: rate.burst)) }

  /// Takes tokens whether or not they are there: what is owed must arrive before the next one. `grace`: what arrives
  /// now may have been sent during this time, in which nobody looked, so all the tokens of that time are available,
  /// even more than a bucket.
  mutating func charge(_ tokens: Int, _ rate: Rate, now: UInt64, grace: UInt64 = 0) {
    full = max(full, now &- grace) &+ rate.time(for: tokens)
  }

  /// How long it takes until nothing is owed.
  func debt(_ rate: Rate, now: UInt64) -> UInt64 {
    let allowed = rate.time(for: rate.burst)
    return missing(now) > allowed ? missing(now) &- allowed : 0
  }

  private func missing(_ now: UInt64) -> UInt64 { full > now ? full &- now : 0 }
}
