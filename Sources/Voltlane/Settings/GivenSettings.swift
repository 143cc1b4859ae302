import VoltlaneSettings

/// What was given for each setting: by flags, otherwise by the environment, otherwise by the file, otherwise by
/// connserver's names in either of them.
struct GivenSettings: Sendable {
  /// By the setting's name, if anything was given.
  private var readings: [String: [Reading]] = [:]
  /// Settings that were given by connserver's names, for the log.
  private(set) var warnings: [String] = []

  /// A text that was given, and the value that was read from it. Each text is read once.
  private struct Reading {
    let given: Given
    let value: Result<any Sendable, SettingError>

    /// Why it is not a value.
    var problem: String? { if case .failure(let error) = value { error.description } else { nil } }
  }

  /// Reads `environment`, and the one of `files` that flags or environment name. Throws everything that is wrong there;
  /// mistakes in flags are thrown when their values are asked for.
  init(flags: [Given], environment: [String: String], files: SettingsFiles) throws(ConfigurationError) {
    let variables = EnvironmentSettings(environment)
    var sources = [Self.read(flags), Self.read(variables.given)]
    var earlier = variables.earlier
    var problems = variables.problems
    readings = Self.firsts(of: sources)
    if let path = file {
      let file = ConfigurationFile(path: path, text: try Self.text(path, files))
      sources.append(Self.read(file.given))
      earlier += file.earlier
      problems += file.problems
    }
    let earlierReadings = Self.read(earlier.compactMap(\.given))
    problems += (sources[1...].joined() + earlierReadings).compactMap(\.problem)
    guard problems.isEmpty else { throw ConfigurationError(problems) }

    readings = Self.firsts(of: sources)
    for setting in earlier {
      let winner = setting.given.flatMap { readings[$0.setting]?.first?.given }
      warnings.append(setting.warning(winner: winner))
      if let given = setting.given, winner == nil {
        readings[given.setting] = earlierReadings.filter { $0.given == given }
      }
    }
  }

  /// What was given for `setting`, in order; empty if nothing was.
  subscript<Value>(setting: RelaySetting<Value>) -> [Given] { self[setting.entry] }
  subscript(entry: SettingEntry) -> [Given] { (readings[entry.name] ?? []).map(\.given) }

  /// The value of `entry`, as it would be written.
  func texts(of entry: SettingEntry) -> [String] {
    let given = self[entry]
    return given.isEmpty ? [entry.standard] : given.map(\.text)
  }

  /// The value given, or the default.
  func value<Value>(of setting: RelaySetting<Value>) throws(SettingError) -> Value {
    let given = self[setting]
    if given.count > 1 { throw setting.error(self, at: 1, "it was given before, as '\(given[0].text)'") }
    return try values(of: setting)[0]
  }

  /// The values given, or the default as the only one.
  func values<Value>(of setting: RelaySetting<Value>) throws(SettingError) -> [Value] {
    guard let readings = readings[setting.name] else { return try setting.setting.values(of: []) }
    var values: [Value] = []
    for reading in readings {
      // It was read as a value of this setting.
      if let value = try reading.value.get() as? Value { values.append(value) }
    }
    return values
  }

  /// These, with the values of `others` for each setting that is to be kept.
  func keeping(_ isKept: (SettingEntry) -> Bool, of others: GivenSettings) -> GivenSettings {
    var kept = self
    for entry in Settings.entries where isKept(entry) { kept.readings[entry.name] = others.readings[entry.name] }
    return kept
  }

  /// These, but with `texts` for one setting.
  func with(_ entry: SettingEntry, _ texts: [String]) -> GivenSettings {
    var changed = self
    changed.readings[entry.name] = Self.read(texts.map { Given(setting: entry.name, text: $0, origin: .command) })
    return changed
  }

  /// The file to read. A name that is not allowed is rejected together with the other values.
  private var file: String? {
    guard case .value(let path)? = try? value(of: Settings.operation.config) else { return nil }
    return path
  }

  private static func text(_ path: String, _ files: SettingsFiles) throws(ConfigurationError) -> String {
    do throws(FileError) {
      return try files.configuration(path)
    } catch {
      throw ConfigurationError([error.description])
    }
  }

  private static func read(_ given: [Given]) -> [Reading] {
    given.compactMap { given in
      Settings.entries.first { $0.name == given.setting }.map { Reading(given: given, value: $0.read(given)) }
    }
  }

  /// For each setting, the values of the first of `sources` that has any.
  private static func firsts(of sources: [[Reading]]) -> [String: [Reading]] {
    sources.reduce(into: [:]) { readings, source in
      readings.merge(Dictionary(grouping: source, by: \.given.setting)) { first, _ in first }
    }
  }
}
