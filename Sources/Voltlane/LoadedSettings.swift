import VoltlaneSettings

/// The settings, with everything that was given and what follows from it.
struct LoadedSettings: Sendable {
  let given: GivenSettings
  let configuration: ProgramConfiguration
  /// The files' ``SettingsFiles/fingerprints``.
  let fingerprints: [String: Int]

  /// Reads flags, environment and files. Throws everything that is wrong with the latter two; otherwise the first value
  /// that conflicts with others.
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
