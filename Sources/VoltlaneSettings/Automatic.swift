/// A value, or the word that leaves it to the program.
package enum Automatic<Value: Sendable & Equatable>: Equatable, Sendable {
  case auto
  case value(Value)

  /// nil where it is left to the program.
  package var given: Value? {
    if case .value(let value) = self { value } else { nil }
  }

  /// The value; where it is left to the program, `standard`.
  package func or(_ standard: @autoclosure () -> Value) -> Value {
    switch self {
    case .auto: standard()
    case .value(let value): value
    }
  }
}
