import VoltlaneSettings

/// Every setting with its final value and where that came from, as a file that `--config` can read.
struct EffectiveSettings: CustomStringConvertible {
  let given: GivenSettings
  /// What was decided for the settings that were left to the program.
  let decisions: [(setting: String, value: String)]

  var description: String {
    let lines = Settings.entries.map { entry in
      // A file cannot name another one.
      (entry.name == Settings.operation.config.name ? "# " : "") + "\(entry.name) = \(value(entry))"
    }
    let width = lines.map(\.count).max() ?? 0
    return zip(Settings.entries, lines).map { entry, line in
      "\(line)\(String(repeating: " ", count: width - line.count))  # \(source(entry))"
    }.joined(separator: "\n")
  }

  /// Each by name, with what is in effect, and where that was given.
  var rows: [(name: String, value: String, origin: String)] {
    Settings.entries.map { entry in
      let decision = decisions.first { $0.setting == entry.name }?.value
      return (entry.name, decision ?? given.texts(of: entry).joined(separator: ", "), origin(entry))
    }
  }

  private func value(_ entry: SettingEntry) -> String {
    let texts = given.texts(of: entry).map(Self.quoted)
    return entry.isRepeatable ? "[\(texts.joined(separator: ", "))]" : texts[0]
  }

  private func source(_ entry: SettingEntry) -> String {
    let decision = decisions.first { $0.setting == entry.name }
    return decision.map { "\(origin(entry)); here \($0.value)" } ?? origin(entry)
  }

  private func origin(_ entry: SettingEntry) -> String {
    switch given[entry].first?.origin {
    case nil, .standard: "default"
    case .flag: "--\(entry.name)"
    case .argument: entry.name
    case .command: "voltlane-ctl set"
    case .variable(let name): name
    case .file(let path, let line, _, _): "\(path):\(line)"
    }
  }

  private static func quoted(_ text: String) -> String {
    let escaped = text.unicodeScalars.map { scalar in
      switch scalar {
      case "\"", "\\": "\\\(scalar)"
      default: scalar.properties.generalCategory == .control ? code(scalar) : String(scalar)
      }
    }
    return "\"\(escaped.joined())\""
  }

  private static func code(_ scalar: Unicode.Scalar) -> String {
    let digits = String(scalar.value, radix: 16)
    return "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
  }
}
