/// A value that a setting does not allow. It names the setting by where the value was given, the value, and what is
/// allowed.
package struct SettingError: Error, Equatable, CustomStringConvertible {
  package var given: Given
  package var reason: String?
  package var allowed: String

  package var description: String {
    let because = reason.map { ": \($0)" } ?? ""
    return "\(given.origin): '\(given.text)' is not allowed\(because). Allowed: \(allowed)."
  }
}
