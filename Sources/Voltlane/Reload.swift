import Relay
import VoltlaneSettings

/// The settings of a running program, which can be read anew: what may change takes effect, the rest stays as it was at
/// the start.
struct Reload {
  /// A setting that is given otherwise than before, or whose files have changed.
  struct Change: CustomStringConvertible {
    let name: String
    let what: String

    var description: String { "\(name): \(what)" }
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
    let loaded = try LoadedSettings(merged, on: machine)
    return Outcome(
      settings: loaded,
      changes: Self.changes(from: settings.given, to: merged) + Self.listChanges(from: settings, to: loaded),
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
      return Change(name: entry.name, what: "\(new.joined(separator: ", ")), was \(old.joined(separator: ", "))")
    }
  }

  /// What has changed in files of networks whose names are the same.
  private static func listChanges(from old: LoadedSettings, to new: LoadedSettings) -> [Change] {
    let lists: [(entry: SettingEntry, networks: KeyPath<ProtectionConfiguration, [Network]>)] = [
      (Settings.allow.entry, \.allowed), (Settings.deny.entry, \.denied), (Settings.proxyProtocol.entry, \.proxies),
    ]
    return lists.filter { old.given.texts(of: $0.entry) == new.given.texts(of: $0.entry) }.compactMap { list in
      let before = Set(old.configuration.relay.protection[keyPath: list.networks])
      let after = Set(new.configuration.relay.protection[keyPath: list.networks])
      guard before != after else { return nil }
      let (new, gone) = (after.subtracting(before).count, before.subtracting(after).count)
      return Change(name: list.entry.name, what: "networks in its files: \(new) new, \(gone) gone")
    }
  }
}
