/// A value that a setting does not allow. It names the setting by where the value was given, the value, and what is
/// allowed.
struct SettingError: Error, Equatable, CustomStringConvertible {
  var given: Given
  var reason: String?
  var allowed: String

  var description: String {
    let because = reason.map { ": \($0)" } ?? ""
    return "\(given.origin): '\(given.text)' is not allowed\(because). Allowed: \(allowed)."
  }
}
