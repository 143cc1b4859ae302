/// A value, or the word that lets the program decide.
package enum Automatic<Value: Sendable & Equatable>: Equatable, Sendable {
  case auto
  case value(Value)

  /// nil if the program decides.
  package var given: Value? {
    if case .value(let value) = self { value } else { nil }
  }

  /// The value, or `standard` if the program decides.
  package func or(_ standard: @autoclosure () -> Value) -> Value {
    switch self {
    case .auto: standard()
    case .value(let value): value
    }
  }
}
