import VoltlaneText

/// How the admin endpoint writes figures.
extension JSON {
  /// A count, which is never below 0, whatever two threads have done meanwhile.
  static func count(_ number: Int) -> JSON { .integer(max(0, number)) }

  /// Nanoseconds as seconds.
  static func seconds(_ nanoseconds: UInt64) -> JSON { .decimal(Double(nanoseconds) / 1e9) }

  /// A number to six digits behind the point.
  static func decimal(_ value: Double) -> JSON { .number(Decimal.text(value)) }

  /// An object whose members have these names, in this order.
  static func named(_ members: [(String, JSON)]) -> JSON { .object(members.map { Member($0.0, $0.1) }) }
}

/// Numbers as JSON and Prometheus both read them: to six digits behind the point, without an exponent.
enum Decimal {
  static func text(_ value: Double) -> String {
    guard value.isFinite else { return "0" }
    let (sign, size) = (value < 0 ? "-" : "", abs(value))
    // Beyond that, a Double has no such digits.
    guard size < 1e9 else { return "\(sign)\(UInt64(min(size, 1e19)))" }
    let millionths = UInt64((size * 1e6).rounded())
    var digits = String(millionths % 1_000_000)
    digits = String(repeating: "0", count: 6 - digits.count) + digits
    while digits.last == "0" { digits.removeLast() }
    return sign + "\(millionths / 1_000_000)" + (digits.isEmpty ? "" : ".\(digits)")
  }
}
