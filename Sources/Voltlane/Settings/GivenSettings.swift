import VoltlaneSettings

/// What was given for each setting: by flags, else by the environment, else by the file, else by connserver's names for
/// it in either of them.
struct GivenSettings: Sendable {
  /// By the setting's name, where anything was given.
  private var texts: [String: [Given]] = [:]
  /// Settings by names that connserver had, for the log.
  private(set) var warnings: [String] = []

  /// Reads `environment` and, of `files`, the one that flags or environment name. Throws all that is wrong there;
  /// whether values of flags are allowed is found out when they are asked for.
  init(flags: [Given], environment: [String: String], files: SettingsFiles) throws(ConfigurationError) {
    let variables = EnvironmentSettings(environment)
    var sources = [flags, variables.given]
    var earlier = variables.earlier
    var problems = variables.problems
    texts = Self.firsts(of: sources)
    if let path = file {
      let file = ConfigurationFile(path: path, text: try Self.text(path, files))
      sources.append(file.given)
      earlier += file.earlier
      problems += file.problems
    }
    problems += (sources[1...].joined() + earlier.compactMap(\.given)).compactMap { given in
      Settings.entries.first { $0.name == given.setting }?.check(given)?.description
    }
    guard problems.isEmpty else { throw ConfigurationError(problems) }

    texts = Self.firsts(of: sources)
    for setting in earlier {
      let winner = setting.given.flatMap { texts[$0.setting]?.first }
      warnings.append(setting.warning(winner: winner))
      if let given = setting.given, winner == nil { texts[given.setting] = [given] }
    }
  }

  /// What was given for `setting`, in order; empty where nothing was.
  subscript<Value>(setting: Setting<Value>) -> [Given] { texts[setting.name] ?? [] }
  subscript(entry: SettingEntry) -> [Given] { texts[entry.name] ?? [] }

  /// What `entry` has, as it would be written.
  func texts(of entry: SettingEntry) -> [String] {
    let given = self[entry]
    return given.isEmpty ? [entry.standard] : given.map(\.text)
  }

  /// The value given, or the default.
  func value<Value>(of setting: Setting<Value>) throws(SettingError) -> Value {
    try setting.value(of: self[setting])
  }

  func values<Value>(of setting: Setting<Value>) throws(SettingError) -> [Value] {
    try setting.values(of: self[setting])
  }

  /// These, but with what `others` have for each setting of which that is to be kept.
  func keeping(_ isKept: (SettingEntry) -> Bool, of others: GivenSettings) -> GivenSettings {
    var kept = self
    for entry in Settings.entries where isKept(entry) { kept.texts[entry.name] = others.texts[entry.name] }
    return kept
  }

  /// The file to read. A name that is not allowed is refused with the other values.
  private var file: String? {
    guard case .value(let path)? = try? value(of: Settings.config) else { return nil }
    return path
  }

  private static func text(_ path: String, _ files: SettingsFiles) throws(ConfigurationError) -> String {
    do throws(FileError) {
      return try files.configuration(path)
    } catch {
      throw ConfigurationError([error.description])
    }
  }

  /// For each setting what the first of `sources` has that has anything.
  private static func firsts(of sources: [[Given]]) -> [String: [Given]] {
    sources.reduce(into: [:]) { texts, source in
      texts.merge(Dictionary(grouping: source, by: \.setting)) { first, _ in first }
    }
  }
}
