/// What threads sort by size: how many of a kind were at most so large. Values are in whole units, of which `scale` is
/// the size in base units.
public enum Distribution: Int, CaseIterable, Sendable {
  case turnPackets, firehoseSendBytes, handshakeTime, uplinkTime

  /// The upper bound of each bucket but the last, which has none: powers of two.
  public var bounds: [UInt64] { (0..<Distribution.buckets - 1).map { 1 << UInt64($0 + firstPower) } }

  /// What a value is divided by to be in base units: packets, bytes, seconds.
  public var divisor: Double {
    switch self {
    case .turnPackets, .firehoseSendBytes: 1
    case .handshakeTime, .uplinkTime: 1e9
    }
  }

  /// The first bound is 2 to this power.
  var firstPower: Int {
    switch self {
    case .turnPackets: 0
    // From 64 bytes to half a megabyte.
    case .firehoseSendBytes: 6
    // From 131 us to 4.3 s and more.
    case .handshakeTime: 17
    // From 1 us to 33 ms.
    case .uplinkTime: 10
    }
  }

  static let buckets = 17
}

/// One role's distributions: written by its thread alone, read by any. A value costs two loads and two stores.
///
///     per distribution: | bucket 0 | ... | bucket 16 | sum |
struct Distributions: Sendable {
  private static let stride = Distribution.buckets + 1
  private let words: CounterWords

  init(_ arena: Arena) { words = CounterWords(arena, count: Distribution.allCases.count * Distributions.stride) }

  /// Counts a value.
  @inline(__always)
  func add(_ distribution: Distribution, _ value: UInt64) {
    let start = distribution.rawValue &* Distributions.stride
    let bucket = words[start &+ Distributions.bucket(of: value, distribution.firstPower)]
    bucket.relaxed = bucket.relaxed &+ 1
    let sum = words[start &+ Distribution.buckets]
    sum.relaxed = sum.relaxed &+ value
  }

  /// The first bucket whose bound is at least `value`.
  @inline(__always)
  static func bucket(of value: UInt64, _ firstPower: Int) -> Int {
    guard value > 1 else { return 0 }
    let power = 64 &- (value &- 1).leadingZeroBitCount
    return min(max(power &- firstPower, 0), Distribution.buckets &- 1)
  }

  func counts(_ distribution: Distribution) -> (buckets: [UInt64], sum: UInt64) {
    let start = distribution.rawValue * Distributions.stride
    return ((0..<Distribution.buckets).map { words[start + $0].relaxed }, words[start + Distribution.buckets].relaxed)
  }
}
