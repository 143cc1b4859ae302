/// What happened, in order: always a digest, and the lines if somebody wants to read them.
public struct Trace {
  public private(set) var digest: UInt64 = 0xcbf2_9ce4_8422_2325
  public private(set) var lines: [String] = []
  let isKept: Bool

  init(isKept: Bool) { self.isKept = isKept }

  mutating func note(_ line: @autoclosure () -> String) {
    if isKept { lines.append(line()) }
  }

  /// Adds a number to the digest.
  mutating func mix(_ value: Int) {
    digest = (digest ^ UInt64(truncatingIfNeeded: value)) &* 0x9fb2_1c65_1e98_df25
    digest ^= digest >> 32
  }
}
