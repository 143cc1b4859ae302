import VoltlaneSettings

/// The settings, from where they were given to what they decide.
struct LoadedSettings: Sendable {
  let given: GivenSettings
  let configuration: ProgramConfiguration
  /// What ``SettingsFiles/fingerprints`` has of the files.
  let fingerprints: [String: Int]

  /// Reads flags, environment and files. Throws all that is wrong with the latter two, else the first value that does
  /// not go with the others.
  init(
    flags: [Given], environment: [String: String] = System.environment(), on machine: Machine = .current(),
    files: SettingsFiles = SettingsFiles()
  ) throws(ConfigurationError) {
    try self.init(
      GivenSettings(flags: flags, environment: environment, files: files), on: machine, files: files)
  }

  init(_ given: GivenSettings, on machine: Machine, files: SettingsFiles) throws(ConfigurationError) {
    self.given = given
    do throws(SettingError) {
      configuration = try ProgramConfiguration(given, on: machine, files: files)
    } catch {
      throw ConfigurationError(error)
    }
    fingerprints = files.fingerprints
  }

  /// Every value and where it came from.
  var effective: EffectiveSettings { EffectiveSettings(given: given, decisions: configuration.decisions) }
}
