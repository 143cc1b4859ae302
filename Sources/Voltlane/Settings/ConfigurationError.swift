import VoltlaneSettings

/// What is wrong with the settings, wherever they were given.
struct ConfigurationError: Error, Equatable, CustomStringConvertible {
  /// One line each, with the flag, the variable, or the file with line and column.
  var problems: [String]
  /// Whether the mistake is in a flag, and not in a file or a variable.
  var isUsage = false

  init(_ problems: [String]) { self.problems = problems }

  init(_ error: SettingError) {
    problems = [error.description]
    isUsage = error.given.origin.isFlag
  }

  var description: String { problems.joined(separator: "\n") }
}
