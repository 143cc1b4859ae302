import Relay
import VoltlaneSettings

/// Rates as written in settings: `20/s`, `300/m`, and with a burst `20/s:40`.
extension Rate {
  static let form = "a number of tokens and a time such as 20/s or 300/m, with a burst 20/s:40"

  init(setting text: String) throws(Refusal) {
    let parts = text.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
    let period: Period
    switch parts[0].suffix(2) {
    case "/s": period = .second
    case "/m": period = .minute
    default: throw .because("it ends neither with /s nor with /m")
    }
    let count = try Rate.number(parts[0].dropLast(2), called: "number")
    self.init(count, per: period, burst: parts.count == 2 ? try Rate.number(parts[1], called: "burst") : nil)
  }

  /// A number, or a number of bytes.
  private static func number(_ text: Substring, called name: String) throws(Refusal) -> Int {
    guard let size = try? ByteSize(String(text)), Rate.range.contains(size.bytes) else {
      throw .because("its \(name), '\(text)', is not a whole number from \(Rate.range.lowerBound) up")
    }
    return size.bytes
  }
}
