/// Times in log-linear buckets, like HdrHistogram's: each power of two is divided into 64 steps, so that a bucket's
/// width grows with its value and every figure is within 1/64 of the truth, from 1 ns to centuries, in 30 KiB.
///
///     value     0 1 2 ... 63 | 64 65 66 ... 127 | 128 130 132 ... 254 | 256 260 ...
///     bucket    0 1 2 ... 63 | 64 65 66 ... 127 | 128 129 130 ... 191 | 192 193 ...
///     step                 1 |                1 |                   2 |         4
public struct LatencyHistogram: Sendable {
  private static let stepBits = 6
  private static let steps = 1 << stepBits

  private var counts = [UInt64](repeating: 0, count: (65 - stepBits) * LatencyHistogram.steps)
  public private(set) var total: UInt64 = 0
  public private(set) var highest: UInt64 = 0

  mutating func record(_ nanoseconds: UInt64, times: UInt64 = 1) {
    counts[LatencyHistogram.bucket(nanoseconds)] &+= times
    total &+= times
    if nanoseconds > highest { highest = nanoseconds }
  }

  /// The time within which `fraction` of the packets stayed, in nanoseconds; nil where none was timed.
  public func percentile(_ fraction: Double) -> UInt64? {
    guard total > 0 else { return nil }
    let rank = max(1, UInt64((Double(total) * fraction).rounded(.up)))
    var seen: UInt64 = 0
    for index in counts.indices {
      seen += counts[index]
      if seen >= rank { return min(LatencyHistogram.upperBound(index), highest) }
    }
    return highest
  }

  /// The bits below the leading one pick the step within the power of two.
  private static func bucket(_ value: UInt64) -> Int {
    guard value >= UInt64(steps) else { return Int(value) }
    let shift = 63 - value.leadingZeroBitCount - stepBits
    return (shift + 1) * steps + Int(value >> UInt64(shift)) & (steps - 1)
  }

  /// The largest value of a bucket.
  private static func upperBound(_ bucket: Int) -> UInt64 {
    guard bucket >= steps else { return UInt64(bucket) }
    let shift = UInt64(bucket / steps - 1)
    return (UInt64(steps + bucket % steps) << shift) + (1 << shift - 1)
  }
}
