import VoltlaneSettings

/// The values in a TOML file, whose keys have the flags' names: `stale-timeout = "5m"`.
struct ConfigurationFile {
  let path: String
  private(set) var given: [Given] = []
  /// Values in the tables of connserver.toml.
  private(set) var earlier: [EarlierGiven] = []
  private(set) var problems: [String] = []

  /// Reads `text`, the contents of `path`. Every problem is reported, except that a syntax error ends the reading.
  init(path: String, text: String) {
    self.path = path
    do throws(TOMLError) {
      for entry in try TOMLReader.read(text) { take(entry) }
    } catch {
      problems.append("\(place(error.position)): \(error.reason)")
    }
  }

  private mutating func take(_ entry: TOMLEntry) {
    let key = entry.key.joined(separator: ".")
    if key == Settings.operation.config.name {
      problems.append("\(place(entry.keyPosition)): \(key): a file cannot name another one")
    } else if let setting = Settings.entries.first(where: { [$0.name] == entry.key }) {
      take(setting, entry)
    } else if let setting = EarlierSetting.all.first(where: { [$0.table, $0.key] == entry.key }) {
      take(setting, entry)
    } else {
      problems.append("\(place(entry.keyPosition)): \(key): there is no such setting\(Self.suggestion(entry.key))")
    }
  }

  private mutating func take(_ setting: SettingEntry, _ entry: TOMLEntry) {
    var items = [TOMLValue.Item(value: entry.value, position: entry.valuePosition)]
    if case .list(let values) = entry.value {
      // A list may be empty only if the setting has a word for that.
      let isNothing = values.isEmpty && setting.accepts("none")
      guard setting.isRepeatable, !values.isEmpty || isNothing else {
        let reason = setting.isRepeatable ? "the list is empty" : "it takes one value, not a list"
        problems.append("\(place(entry.valuePosition)): \(setting.name): \(reason)")
        return
      }
      items = isNothing ? [TOMLValue.Item(value: .string("none"), position: entry.valuePosition)] : values
    }
    for item in items {
      guard let text = item.value.text else { continue }
      given.append(Given(setting: setting.name, text: text, origin: origin(setting.name, item.position)))
    }
  }

  private mutating func take(_ setting: EarlierSetting, _ entry: TOMLEntry) {
    let origin = origin("\(setting.table).\(setting.key)", entry.valuePosition)
    do throws(Refusal) {
      guard let text = entry.value.text else { throw .because("it takes one value, not a list") }
      earlier.append(try EarlierGiven(setting, text, origin))
    } catch {
      problems.append("\(origin.name(of: setting.key)): \(error.reason ?? "its value has no meaning")")
    }
  }

  private func origin(_ key: String, _ position: TextPosition) -> Origin {
    .file(path, line: position.line, column: position.column, key: key)
  }

  private func place(_ position: TextPosition) -> String { "\(path):\(position.line):\(position.column)" }

  private static func suggestion(_ path: [String]) -> String {
    let entries = Settings.entries.filter { $0.name != Settings.operation.config.name }
    if path.count > 1, let last = path.last, entries.contains(where: { $0.name == last }) {
      return "; did you mean \(last), which stands in no table?"
    }
    // A name near a flag's alias suggests the flag's own name.
    let names =
      entries.map { (spelt: $0.name, name: $0.name) }
      + entries.compactMap { entry in entry.alias.map { (spelt: $0, name: entry.name) } }
      + EarlierSetting.all.map { (spelt: "\($0.table).\($0.key)", name: "\($0.table).\($0.key)") }
    guard let nearest = NearestName.of(path.joined(separator: "."), in: names.map(\.spelt)) else { return "" }
    return names.first { $0.spelt == nearest }.map { "; did you mean \($0.name)?" } ?? ""
  }
}

extension TOMLValue {
  /// The value as it would be written after a flag; nil for a list.
  fileprivate var text: String? {
    switch self {
    case .string(let text): text
    case .integer(let number): String(number)
    case .boolean(let isOn): isOn ? "on" : "off"
    case .list: nil
    }
  }
}
