/// What looking at one aspect of the machine found.
struct Finding: Equatable, Sendable {
  enum Level: String, Sendable {
    case ok
    /// The relay runs, but not as well, or not for as many clients, as it could.
    case warn
    /// The relay will not run here.
    case fail
  }

  var level: Level
  /// What was looked at, in a word or two.
  var subject: String
  var what: String
  /// What to do about it; nil if there is nothing to do.
  var advice: String?

  static func ok(_ subject: String, _ what: String) -> Finding {
    Finding(level: .ok, subject: subject, what: what)
  }

  static func warn(_ subject: String, _ what: String, do advice: String) -> Finding {
    Finding(level: .warn, subject: subject, what: what, advice: advice)
  }

  static func fail(_ subject: String, _ what: String, do advice: String) -> Finding {
    Finding(level: .fail, subject: subject, what: what, advice: advice)
  }
}

extension Finding: CustomStringConvertible {
  /// A line, and a second one with what to do.
  var description: String {
    let level = level.rawValue.padded(to: 6)
    let line = "\(level)\(subject.padded(to: 20))\(what)"
    return advice.map { "\(line)\n\("".padded(to: 26))do: \($0)" } ?? line
  }
}
