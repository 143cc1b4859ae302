#if DEBUG
/// Something that must hold of a data structure and does not. Only debug builds look for any.
struct InvariantViolation: Error, CustomStringConvertible {
  let description: String
}

/// Throws where `condition` is false.
func require(_ condition: Bool, _ violation: @autoclosure () -> String) throws(InvariantViolation) {
  guard condition else { throw InvariantViolation(description: violation()) }
}
#endif
