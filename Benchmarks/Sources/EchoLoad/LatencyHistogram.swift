/// Round-trip times in buckets whose width grows with the value: within 1/16 of the truth, from 1 ns to hours.
struct LatencyHistogram {
  private static let steps = 16
  private var counts = [UInt32](repeating: 0, count: 64 * LatencyHistogram.steps)
  private(set) var total = 0

  mutating func record(_ nanoseconds: UInt64) {
    counts[LatencyHistogram.bucket(nanoseconds)] += 1
    total += 1
  }

  /// The time that `fraction` of the round trips stayed within, in nanoseconds; nil where none was timed.
  func percentile(_ fraction: Double) -> UInt64? {
    guard total > 0 else { return nil }
    let rank = Int((Double(total) * fraction).rounded(.up))
    var seen = 0
    for index in counts.indices {
      seen += Int(counts[index])
      if seen >= rank { return LatencyHistogram.upperBound(index) }
    }
    return nil
  }

  /// The highest four bits below the leading one pick the step within the power of two.
  private static func bucket(_ value: UInt64) -> Int {
    guard value >= UInt64(steps) else { return Int(value) }
    let exponent = 63 - value.leadingZeroBitCount
    return (exponent - 3) * steps + Int(value >> UInt64(exponent - 4)) & (steps - 1)
  }

  private static func upperBound(_ bucket: Int) -> UInt64 {
    guard bucket >= steps else { return UInt64(bucket) }
    let exponent = UInt64(bucket / steps + 3)
    return (UInt64(steps + bucket % steps) + 1) << (exponent - 4) - 1
  }
}
