/// One setting of a program: the only place where its name, default, allowed values and meaning are written down. The
/// flag, its help, the table in the documentation and every error come from here.
///
/// A value is a text with an origin, wherever it was given: a flag now, the environment or a file as well once they are
/// read. The default is such a text too, so that what the help shows as the default can be written by hand.
package struct Setting<Value: Sendable>: Sendable {
  /// As in `--name`.
  package let name: String
  /// Another spelling, for those who come from elsewhere.
  package var alias: String?
  /// What stands for the value in the help.
  package let placeholder: String
  /// The value, as it would be written, where none is given.
  package let standard: String
  /// What may be written, as the end of "Allowed: ".
  package let allowed: String
  /// One sentence; it says what is counted, and for whom.
  package let summary: String
  /// Whether several values may be given.
  package var isRepeatable = false
  /// Reads a value.
  package let read: Reader

  package typealias Reader = @Sendable (String) throws(Refusal) -> Value

  package init(
    name: String, alias: String? = nil, placeholder: String, standard: String, allowed: String, summary: String,
    isRepeatable: Bool = false, read: @escaping Reader
  ) {
    self.name = name
    self.alias = alias
    self.placeholder = placeholder
    self.standard = standard
    self.allowed = allowed
    self.summary = summary
    self.isRepeatable = isRepeatable
    self.read = read
  }
}

/// Why a text is not a value of a setting, where there is more to say than what is allowed.
package struct Refusal: Error, Equatable {
  package var reason: String?

  package static let plain = Refusal()

  package static func because(_ reason: String) -> Refusal { Refusal(reason: reason) }
}

/// A text that was given for a setting.
package struct Given: Equatable, Sendable {
  package var text: String
  /// Where, as an error names it: `--shards`.
  package var origin: String

  package init(text: String, origin: String) {
    self.text = text
    self.origin = origin
  }
}

extension Setting {
  package var flag: String { "--\(name)" }

  /// The value given, or the default.
  package func value(of given: [Given]) throws(SettingError) -> Value {
    if given.count > 1 { throw error(given[1], .because("it was given before, as '\(given[0].text)'")) }
    return try values(of: given)[0]
  }

  /// The values given, or the default as the only one.
  package func values(of given: [Given]) throws(SettingError) -> [Value] {
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

  package func error(_ given: Given, _ refusal: Refusal) -> SettingError {
    SettingError(given: given, reason: refusal.reason, allowed: allowed)
  }

  /// The setting as text.
  package var entry: SettingEntry {
    SettingEntry(
      name: name, alias: alias, placeholder: placeholder, standard: standard, allowed: allowed, summary: summary,
      isRepeatable: isRepeatable)
  }
}

/// What is known of a setting apart from its type.
package struct SettingEntry: Equatable, Sendable {
  package let name: String
  package let alias: String?
  package let placeholder: String
  package let standard: String
  package let allowed: String
  package let summary: String
  package let isRepeatable: Bool
}
