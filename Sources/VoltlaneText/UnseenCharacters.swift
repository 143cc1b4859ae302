extension Unicode.Scalar {
  /// Whether it does something to a line instead of being seen in it: control characters, line and paragraph separators
  /// that end a line for some readers, and formats such as those that turn the direction of writing round. What
  /// strangers write may have them, and must not make one line look like several, or like another.
  package var isUnseen: Bool {
    switch properties.generalCategory {
    case .control, .format, .lineSeparator, .paragraphSeparator, .surrogate, .unassigned: true
    default: false
    }
  }
}
