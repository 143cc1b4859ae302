import VoltlaneSettings

/// The settings of a running program, which can be read anew: what may change takes effect, the rest stays as it was at
/// the start.
struct Reload {
  /// A setting that is given otherwise than before.
  struct Change: Equatable, CustomStringConvertible {
    var name: String
    var old: String
    var new: String

    var description: String { "\(name): \(new), was \(old)" }
  }

  /// What the flags gave; they stay as they are.
  let flags: [Given]
  /// What is in effect.
  private(set) var settings: LoadedSettings

  /// What reading anew brought. Nothing is in effect before ``adopt(_:)``.
  struct Outcome {
    /// To be in effect from now on.
    let settings: LoadedSettings
    let changes: [Change]
    let needRestart: [Change]
    let warnings: [String]
  }

  /// Reads `environment` and file again. Throws where anything is wrong, also together with what cannot change.
  func read(
    environment: [String: String] = System.environment(), on machine: Machine = .current(),
    read: (String) throws(ConfigurationError) -> String = ConfigurationFile.text
  ) throws(ConfigurationError) -> Outcome {
    let new = try LoadedSettings(flags: flags, environment: environment, on: machine, read: read)
    let merged = new.given.keeping({ !$0.isReloadable }, of: settings.given)
    return Outcome(
      settings: try LoadedSettings(merged, on: machine),
      changes: Self.changes(from: settings.given, to: merged),
      needRestart: Self.changes(from: settings.given, to: new.given).filter { change in
        Settings.entries.contains { $0.name == change.name && !$0.isReloadable }
      },
      warnings: new.given.warnings)
  }

  mutating func adopt(_ outcome: Outcome) { settings = outcome.settings }

  private static func changes(from old: GivenSettings, to new: GivenSettings) -> [Change] {
    Settings.entries.compactMap { entry in
      let (old, new) = (old.texts(of: entry), new.texts(of: entry))
      guard old != new else { return nil }
      return Change(name: entry.name, old: old.joined(separator: ", "), new: new.joined(separator: ", "))
    }
  }
}
