/// Durations as written in settings: `100us`, `250ms`, `30s`, `5m`, `1h`.
extension Duration {
  private static let units: [(name: String, microseconds: Int)] = [
    ("us", 1), ("ms", 1000), ("s", 1_000_000), ("m", 60_000_000), ("h", 3_600_000_000),
  ]

  /// Reads a whole number with its unit. A number without a unit is rejected, because some people would mean seconds
  /// and others milliseconds; zero is accepted. The error's advice stays within `range`.
  package init(setting text: String, in range: ClosedRange<Duration>) throws(Refusal) {
    if text == "0" {
      self = .zero
      return
    }
    guard let unit = Self.units.first(where: { text.hasSuffix($0.name) }) else {
      guard let number = wholeNumber(text) else { throw .because("it is not a whole number with a unit") }
      throw .because("it has no unit\(Self.advice(number, range))")
    }
    guard let number = wholeNumber(text.dropLast(unit.name.count)) else {
      throw .because("it is not a whole number with a unit")
    }
    let (microseconds, overflow) = number.multipliedReportingOverflow(by: unit.microseconds)
    guard !overflow else { throw .because("it is too long") }
    self = .microseconds(microseconds)
  }

  /// What a number without a unit may have meant; empty if `range` contains no such time.
  private static func advice(_ number: Int, _ range: ClosedRange<Duration>) -> String {
    let second = (unit: "s", name: "seconds", one: Duration.seconds(1))
    let millisecond = (unit: "ms", name: "milliseconds", one: Duration.milliseconds(1))
    let microsecond = (unit: "us", name: "microseconds", one: Duration.microseconds(1))
    let units = range.contains(second.one) ? [second, millisecond] : [millisecond, microsecond]
    let allowed = units.filter { range.contains($0.one * number) }
    guard !allowed.isEmpty else { return "" }
    return "; write " + allowed.map { "\(number)\($0.unit) for \($0.name)" }.joined(separator: " or ")
  }

  /// The shortest exact form that ``init(setting:in:)`` reads, to the microsecond.
  package var setting: String {
    let (seconds, attoseconds) = components
    let microseconds = Int(seconds) * 1_000_000 + Int(attoseconds / 1_000_000_000_000)
    guard microseconds > 0, let unit = Self.units.last(where: { microseconds % $0.microseconds == 0 }) else {
      return "0s"
    }
    return "\(microseconds / unit.microseconds)\(unit.name)"
  }
}
