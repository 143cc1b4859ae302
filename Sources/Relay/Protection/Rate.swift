/// How often something may happen: `count` times in each period, and `burst` times at once after a quiet period.
public struct Rate: Equatable, Sendable, BitwiseCopyable {
  public enum Period: UInt64, Sendable, CaseIterable, BitwiseCopyable {
    case second = 1
    case minute = 60
  }

  public let count: Int
  public let period: Period
  public let burst: Int

  /// Neither a count nor a burst in one period may exceed this, which keeps times within 64 bits.
  public static let range = 1...(1 << 40)

  /// Without a burst, everything that a period allows may happen at once.
  public init(_ count: Int, per period: Period, burst: Int? = nil) {
    // The settings are held to this range where they are read.
    precondition(Rate.range.contains(count) && Rate.range.contains(burst ?? count))
    self.count = count
    self.period = period
    self.burst = burst ?? count
  }

  /// The time in which the rate allows `tokens`, rounded up.
  func time(for tokens: Int) -> UInt64 {
    let product = (period.rawValue &* Limits.second).multipliedFullWidth(by: UInt64(tokens))
    let rate = UInt64(count)
    // Centuries are as good as forever.
    guard product.high < rate else { return .max / 4 }
    let (quotient, remainder) = rate.dividingFullWidth(product)
    return min(quotient &+ (remainder > 0 ? 1 : 0), .max / 4)
  }
}
