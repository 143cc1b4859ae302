/// Numbers that follow from a seed (SplitMix64): the same on every machine.
struct Chance: RandomNumberGenerator {
  private var state: UInt64

  init(_ seed: UInt64) { state = seed }

  /// An independent sequence, whatever others draw.
  init(_ seed: UInt64, for part: UInt64) {
    self.init(seed &* 0x9e37_79b9_7f4a_7c15 ^ (part &+ 1) &* 0xd1b5_4a32_d192_ed03)
    _ = next()
  }

  mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var z = state
    z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
    z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
    return z ^ (z >> 31)
  }

  mutating func below(_ bound: Int) -> Int { Int(next() % UInt64(max(bound, 1))) }

  mutating func between(_ least: Int, _ most: Int) -> Int { least + below(most - least + 1) }

  /// True once in `n`.
  mutating func oneIn(_ n: Int) -> Bool { below(n) == 0 }

  mutating func pick<Element>(_ elements: [Element]) -> Element { elements[below(elements.count)] }

  /// Between `least` and `most`, with every order of magnitude equally likely.
  mutating func magnitude(_ least: Int, _ most: Int) -> Int {
    var bits = 0
    while least << bits < most { bits += 1 }
    let low = least << below(max(bits, 1))
    return min(most, between(low, 2 * low))
  }

  mutating func time(_ least: UInt64, _ most: UInt64) -> UInt64 { UInt64(magnitude(Int(least), Int(most))) }

  mutating func happens(_ odds: Odds) -> Bool {
    odds.perMillion > 0 && next() % 1_000_000 < UInt64(odds.perMillion)
  }
}

/// How often something happens when it could.
struct Odds {
  var perMillion = 0

  static let never = Odds()

  /// Random: often never, and once in two as likely as once in a thousand.
  init(_ chance: inout Chance, atMost most: Int = 2) {
    guard !chance.oneIn(3) else { return }
    perMillion = 1_000_000 / chance.magnitude(most, 2000)
  }

  init() {}
}
