/// A value that a setting does not allow. The error names where the value was given, the value, and what is allowed.
package struct SettingError: Error, Equatable, CustomStringConvertible {
  package var given: Given
  package var reason: String?
  package var allowed: String

  package var description: String {
    let because = reason.map { ": \($0)" } ?? ""
    return "\(given.origin.name(of: given.setting)): \(shown) is not allowed\(because). Allowed: \(allowed)."
  }

  /// Anything that could be a key is not repeated, because errors go into logs.
  private var shown: String { isSecret(given.text) ? "a key" : "'\(given.text)'" }
}

/// Whether `text` has the form of a secret key.
package func isSecret(_ text: String) -> Bool { text.count == 64 && text.allSatisfy(\.isHexDigit) }
