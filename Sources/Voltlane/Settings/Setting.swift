/// One setting of the program: the only place where its name, default, allowed values and meaning are written down. The
/// flag, its help, the table in the documentation and every error come from here.
///
/// A value is a text with an origin, wherever it was given: a flag now, the environment or a file as well once they are
/// read. The default is such a text too, so that what the help shows as the default can be written by hand.
struct Setting<Value: Sendable>: Sendable {
  /// As in `--name`.
  let name: String
  /// Another spelling, for those who come from elsewhere.
  var alias: String?
  /// What stands for the value in the help.
  let placeholder: String
  /// The value, as it would be written, where none is given.
  let standard: String
  /// What may be written, as the end of "Allowed: ".
  let allowed: String
  /// One sentence; it says what is counted, and for whom.
  let summary: String
  /// Whether several values may be given.
  var isRepeatable = false
  /// Reads a value.
  let read: Reader

  typealias Reader = @Sendable (String) throws(Refusal) -> Value
}

/// Why a text is not a value of a setting, where there is more to say than what is allowed.
struct Refusal: Error, Equatable {
  var reason: String?

  static let plain = Refusal()

  static func because(_ reason: String) -> Refusal { Refusal(reason: reason) }
}

/// A text that was given for a setting.
struct Given: Equatable, Sendable {
  var text: String
  /// Where, as an error names it: `--shards`.
  var origin: String
}

extension Setting {
  var flag: String { "--\(name)" }

  /// The value given, or the default.
  func value(of given: [Given]) throws(SettingError) -> Value {
    if given.count > 1 { throw error(given[1], .because("it was given before, as '\(given[0].text)'")) }
    return try values(of: given)[0]
  }

  /// The values given, or the default as the only one.
  func values(of given: [Given]) throws(SettingError) -> [Value] {
    var values: [Value] = []
    for one in given.isEmpty ? [Given(text: standard, origin: flag)] : given {
      do {
        values.append(try read(one.text))
      } catch {
        throw self.error(one, error)
      }
    }
    return values
  }

  func error(_ given: Given, _ refusal: Refusal) -> SettingError {
    SettingError(given: given, reason: refusal.reason, allowed: allowed)
  }

  /// The setting as text.
  var entry: SettingEntry {
    SettingEntry(
      name: name, alias: alias, placeholder: placeholder, standard: standard, allowed: allowed, summary: summary,
      isRepeatable: isRepeatable)
  }
}

/// What is known of a setting apart from its type.
struct SettingEntry: Equatable, Sendable {
  let name: String
  let alias: String?
  let placeholder: String
  let standard: String
  let allowed: String
  let summary: String
  let isRepeatable: Bool
}
