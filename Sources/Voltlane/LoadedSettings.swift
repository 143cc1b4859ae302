import VoltlaneSettings

/// The settings, from where they were given to what they decide.
struct LoadedSettings: Sendable {
  let given: GivenSettings
  let configuration: ProgramConfiguration

  /// Reads flags, environment and file. Throws all that is wrong with the latter two, else the first value that does
  /// not go with the others.
  init(
    flags: [Given], environment: [String: String] = System.environment(), on machine: Machine = .current(),
    read: (String) throws(ConfigurationError) -> String = ConfigurationFile.text
  ) throws(ConfigurationError) {
    try self.init(GivenSettings(flags: flags, environment: environment, read: read), on: machine)
  }

  init(_ given: GivenSettings, on machine: Machine) throws(ConfigurationError) {
    self.given = given
    do throws(SettingError) {
      configuration = try ProgramConfiguration(given, on: machine)
    } catch {
      throw ConfigurationError(error)
    }
  }

  /// Every value and where it came from.
  var effective: EffectiveSettings { EffectiveSettings(given: given, decisions: configuration.decisions) }
}
