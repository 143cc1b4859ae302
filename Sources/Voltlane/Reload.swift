import Relay
import VoltlaneSettings

/// The settings of a running program, which can be read again: what may change takes effect, the rest stays as it was
/// at the start.
struct Reload: Sendable {
  /// A setting whose value, or whose files, have changed.
  struct Change: CustomStringConvertible, Sendable {
    let name: String
    let what: String
    /// Whether it protects less than before.
    var isLowered = false

    var description: String { "\(name): \(what)" }
  }

  /// What the flags gave; they stay as they are.
  let flags: [Given]
  /// What is in effect.
  private(set) var settings: LoadedSettings
  /// What flags, environment and files give, without what commands have set since they were read.
  private(set) var given: GivenSettings

  init(flags: [Given], settings: LoadedSettings) {
    self.flags = flags
    self.settings = settings
    given = settings.given
  }

  /// The result of reading the settings again. Nothing takes effect before ``adopt(_:)``.
  struct Outcome: Sendable {
    /// What is to be in effect from now on.
    let settings: LoadedSettings
    let changes: [Change]
    let needRestart: [Change]
    let warnings: [String]
    /// Whether a command gave a value, and nothing was read anew.
    var isCommand = false
  }

  /// Reads `environment` and files again. Throws if anything is wrong, also in combination with what cannot change.
  func read(
    environment: [String: String] = System.environment(), on machine: Machine = .current()
  ) throws(ConfigurationError) -> Outcome {
    try read(environment: environment, on: machine, files: SettingsFiles(after: settings.fingerprints))
  }

  func read(
    environment: [String: String], on machine: Machine, files: SettingsFiles
  ) throws(ConfigurationError) -> Outcome {
    let new = try LoadedSettings(flags: flags, environment: environment, on: machine, files: files)
    let merged = new.given.keeping({ !$0.isReloadable }, of: settings.given)
    let loaded = try LoadedSettings(merged, on: machine, files: files)
    return Outcome(
      settings: loaded,
      changes: changes(to: loaded),
      needRestart: Self.changes(from: settings.given, to: new.given).filter { change in
        Settings.entries.contains { $0.name == change.name && !$0.isReloadable }
      },
      warnings: new.given.warnings)
  }

  mutating func adopt(_ outcome: Outcome) {
    settings = outcome.settings
    if !outcome.isCommand { given = outcome.settings.given }
  }

  // MARK: One setting

  /// Gives another value to one setting that may be reloaded, with the same checks. The next ``read()`` returns to what
  /// the files have.
  func read(
    _ entry: SettingEntry, _ texts: [String], on machine: Machine = .current()
  ) throws(ConfigurationError) -> Outcome {
    try read(entry, texts, on: machine, files: SettingsFiles(after: settings.fingerprints))
  }

  func read(
    _ entry: SettingEntry, _ texts: [String], on machine: Machine, files: SettingsFiles
  ) throws(ConfigurationError) -> Outcome {
    let loaded = try LoadedSettings(settings.given.with(entry, texts), on: machine, files: files)
    return Outcome(settings: loaded, changes: changes(to: loaded), needRestart: [], warnings: [], isCommand: true)
  }

  /// What is to be said of a value that a command gave: what else there is, to which the next reload or start returns.
  /// nil where they agree.
  func remark(on entry: SettingEntry) -> String? {
    guard given.texts(of: entry) != settings.given.texts(of: entry) else { return nil }
    let place: String
    switch given[entry].first?.origin {
    case .file(let path, let line, _, _): place = "\(path):\(line) still has"
    case .variable(let name): place = "\(name) still has"
    case .flag: place = "--\(entry.name) was given as"
    default: place = "nothing else sets it, and its default is"
    }
    let texts = given.texts(of: entry).joined(separator: ", ")
    return "\(place) \(texts): a reload or a restart returns to that"
  }

  /// Includes settings of which only the files, or what was left to the program, have changed.
  private func changes(to new: LoadedSettings) -> [Change] {
    var changes = Self.changes(from: settings.given, to: new.given) + Self.listChanges(from: settings, to: new)
    for setting in Settings.all {
      guard case .guarded(let isLowered) = setting.reload,
        isLowered(settings.configuration.relay, new.configuration.relay)
      else { continue }
      let name = setting.entry.name
      if let index = changes.firstIndex(where: { $0.name == name }) {
        changes[index].isLowered = true
      } else {
        changes.append(Change(name: name, what: "other than before on this machine", isLowered: true))
      }
    }
    return changes
  }

  private static func changes(from old: GivenSettings, to new: GivenSettings) -> [Change] {
    Settings.entries.compactMap { entry in
      let (old, new) = (old.texts(of: entry), new.texts(of: entry))
      guard old != new else { return nil }
      return Change(name: entry.name, what: "\(new.joined(separator: ", ")), was \(old.joined(separator: ", "))")
    }
  }

  /// What has changed in lists of networks whose files have the same names.
  private static func listChanges(from old: LoadedSettings, to new: LoadedSettings) -> [Change] {
    let settings = Settings.protection
    let lists: [(entry: SettingEntry, networks: KeyPath<ProtectionConfiguration, [Network]>)] = [
      (settings.allow.entry, \.allowed), (settings.deny.entry, \.denied), (settings.proxyProtocol.entry, \.proxies),
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
