/// Durations as they are written in settings: `250ms`, `30s`, `5m`, `1h`.
extension Duration {
  private static let units: [(name: String, milliseconds: Int)] = [
    ("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000),
  ]

  /// Reads a whole number with its unit. A plain number is refused, because the one thinks of seconds, the other of
  /// milliseconds; but zero is zero.
  package init(setting text: String) throws(Refusal) {
    if text == "0" {
      self = .zero
      return
    }
    guard let unit = Self.units.first(where: { text.hasSuffix($0.name) }) else {
      guard let number = wholeNumber(text) else { throw .because("it is not a whole number with a unit") }
      throw .because("it has no unit; write \(number)s for seconds or \(number)ms for milliseconds")
    }
    guard let number = wholeNumber(text.dropLast(unit.name.count)) else {
      throw .because("it is not a whole number with a unit")
    }
    let (milliseconds, overflow) = number.multipliedReportingOverflow(by: unit.milliseconds)
    guard !overflow else { throw .because("it is too long") }
    self = .milliseconds(milliseconds)
  }

  /// The shortest exact form that ``init(setting:)`` reads, to the millisecond.
  package var setting: String {
    let (seconds, attoseconds) = components
    let milliseconds = Int(seconds) * 1000 + Int(attoseconds / 1_000_000_000_000_000)
    let unit = Self.units.last { milliseconds % $0.milliseconds == 0 && milliseconds > 0 } ?? Self.units[1]
    return "\(milliseconds / unit.milliseconds)\(unit.name)"
  }
}
