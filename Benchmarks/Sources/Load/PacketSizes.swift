/// How large packets are: one size, or several by weight, written `64` or `64:70,1024:25,16384:5`.
public struct PacketSizes: Sendable, Equatable, CustomStringConvertible {
  public struct Share: Sendable, Equatable {
    public var bytes: Int
    public var weight: Int
  }

  /// Larger than any relay's limit.
  public static let limit = 16_777_216

  public let shares: [Share]

  public init(_ bytes: Int) {
    shares = [Share(bytes: bytes, weight: 1)]
  }

  public init(_ text: String) throws(BenchError) {
    var shares: [Share] = []
    for part in text.split(separator: ",", omittingEmptySubsequences: false) {
      let numbers = part.split(separator: ":", omittingEmptySubsequences: false)
      guard (1...2).contains(numbers.count), let bytes = Int(numbers[0]), (0...PacketSizes.limit).contains(bytes),
        let weight = numbers.count == 1 ? 1 : Int(numbers[1]), (1...1_000_000).contains(weight)
      else {
        throw BenchError("'\(part)' is neither BYTES nor BYTES:WEIGHT, with at most \(PacketSizes.limit) bytes")
      }
      shares.append(Share(bytes: bytes, weight: weight))
    }
    self.shares = shares
  }

  public var largest: Int { shares.map(\.bytes).max()! }

  public var description: String {
    if shares.count == 1 { return String(shares[0].bytes) }
    return shares.map { "\($0.bytes):\($0.weight)" }.joined(separator: ",")
  }

  /// `count` sizes with the shares' proportions. Every share has one at least.
  func table(_ count: Int) -> [Int32] {
    let total = shares.reduce(0) { $0 + $1.weight }
    var sizes: [Int32] = []
    for (index, share) in shares.enumerated() {
      let last = index == shares.count - 1
      let wanted = last ? count - sizes.count : max(1, count * share.weight / total)
      sizes += [Int32](
        repeating: Int32(share.bytes), count: min(wanted, count - sizes.count - (shares.count - 1 - index)))
    }
    return sizes
  }
}
