/// One setting of a program: the only place where its name, default, allowed values and meaning are written down. The
/// flag, its help, the names in environment and file, the table in the documentation and every error come from here.
///
/// A value is a text with an origin, wherever it was given: by a flag, or in the environment or a file where a program
/// reads them. The default is such a text too, so that what the help shows as the default can be written by hand.
package struct Setting<Value: Sendable>: Sendable {
  /// As in `--name`.
  package let name: String
  /// Another spelling, for people who know it from other programs.
  package var alias: String?
  /// The placeholder for the value in the help.
  package let placeholder: String
  /// The default, as a user would write it.
  package let standard: String
  /// What may be written, as the end of "Allowed: ".
  package let allowed: String
  /// One sentence that says what is counted, and for whom.
  package let summary: String
  /// Whether several values may be given.
  package var isRepeatable = false
  /// Whether a running program can be given another value.
  package var isReloadable = false
  /// Reads a value.
  package let read: Reader

  package typealias Reader = @Sendable (String) throws(Refusal) -> Value

  package init(
    name: String, alias: String? = nil, placeholder: String, standard: String, allowed: String, summary: String,
    isRepeatable: Bool = false, isReloadable: Bool = false, read: @escaping Reader
  ) {
    self.name = name
    self.alias = alias
    self.placeholder = placeholder
    self.standard = standard
    self.allowed = allowed
    self.summary = summary
    self.isRepeatable = isRepeatable
    self.isReloadable = isReloadable
    self.read = read
  }
}

/// Why a text is not a value of a setting, if there is more to say than what is allowed.
package struct Refusal: Error, Equatable {
  package var reason: String?

  package static let plain = Refusal()

  package static func because(_ reason: String) -> Refusal { Refusal(reason: reason) }
}

/// A text that was given for a setting.
package struct Given: Equatable, Sendable {
  /// The setting's name.
  package var setting: String
  package var text: String
  package var origin: Origin

  package init(setting: String, text: String, origin: Origin) {
    self.setting = setting
    self.text = text
    self.origin = origin
  }
}

/// Where the text for a setting came from.
package enum Origin: Equatable, Sendable {
  /// Nowhere: it is the default.
  case standard
  case flag
  /// An argument without a flag, which has the setting's name in the help.
  case argument
  /// A variable of the environment, by its name.
  case variable(String)
  /// A command to the running program.
  case command
  /// The value of `key` in a file.
  case file(String, line: Int, column: Int, key: String)

  /// The place as an error names it.
  package func name(of setting: String) -> String {
    switch self {
    case .standard, .flag: "--\(setting)"
    case .argument, .command: setting
    case .variable(let name): name
    case .file(let path, let line, let column, let key): "\(path):\(line):\(column): \(key)"
    }
  }

  /// Whether an error there is a mistake on the command line.
  package var isFlag: Bool { [.standard, .flag, .argument].contains(self) }
}

extension Setting {
  package var flag: String { "--\(name)" }

  /// The default, which applies if nothing is given.
  package var defaultGiven: Given { Given(setting: name, text: standard, origin: .standard) }

  /// The value given, or the default.
  package func value(of given: [Given]) throws(SettingError) -> Value {
    if given.count > 1 { throw error(given[1], .because("it was given before, as '\(given[0].text)'")) }
    return try values(of: given)[0]
  }

  /// The values given, or the default as the only one.
  package func values(of given: [Given]) throws(SettingError) -> [Value] {
    var values: [Value] = []
    for one in given.isEmpty ? [defaultGiven] : given {
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
      isRepeatable: isRepeatable, isReloadable: isReloadable,
      read: { given in
        do throws(SettingError) {
          return .success(try value(of: [given]))
        } catch {
          return .failure(error)
        }
      })
  }
}

/// Everything about a setting except the type of its value.
package struct SettingEntry: Sendable {
  package let name: String
  package let alias: String?
  package let placeholder: String
  package let standard: String
  package let allowed: String
  package let summary: String
  package let isRepeatable: Bool
  package let isReloadable: Bool
  /// The value that a text means.
  package let read: @Sendable (Given) -> Result<any Sendable, SettingError>

  package func accepts(_ text: String) -> Bool {
    if case .success = read(Given(setting: name, text: text, origin: .standard)) { true } else { false }
  }
}
