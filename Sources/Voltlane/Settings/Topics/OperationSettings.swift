import Logging
import Relay
import VoltlaneSettings
import VoltlaneText

struct OperationSettings: SettingsTopic {
  static let title = "Operation"

  let config = RelaySetting(
    Setting(
      name: "config", kind: .automatic(.file("a TOML file"), word: "none"), standard: "none",
      summary: """
        The file with settings that neither flags nor the environment give: its keys have the names of the flags. \
        SIGHUP reloads it.
        """),
    reload: .no, place: { file, program in program.file = file.given })

  let identity = RelaySetting(
    Setting(
      name: "identity", kind: .automatic(.fileOfKey, word: "none"), standard: "none",
      summary: """
        The file of the relay's secret key, created if missing, so that clients recognise the relay after a restart. \
        'none': a fresh key at each start.
        """),
    reload: .no, place: { file, program in program.identity = file.given })

  let control = RelaySetting(
    Setting(
      name: "control", kind: .automatic(.unixPath, word: "none"), standard: "none",
      summary: """
        The unix socket for commands to the running relay (voltlane-ctl), which only the relay's user and root may \
        use.
        """),
    reload: .no, place: { path, program in program.control = path.given })

  let congestionControl = RelaySetting(
    Setting(
      name: "congestion-control", kind: .automatic(.congestionControl, word: "system"), standard: "system",
      summary: "The congestion control of every TCP connection. 'system': the machine's default."),
    reload: .no, to: \.congestionControl)

  let shutdownTimeout = RelaySetting(
    Setting(
      name: "shutdown-timeout", kind: .duration(in: RelayConfiguration.shutdownTimeoutRange), standard: "5s",
      summary: """
        How long a shutdown may take to hand over what is queued. It takes that long if there is no backend to take \
        it.
        """),
    reload: .yes, to: \.shutdownTimeout)

  let drainTime = RelaySetting(
    Setting(
      name: "drain-time", kind: .duration(in: Duration.zero...Duration.seconds(24 * 60 * 60)), standard: "30s",
      summary: """
        Over what time a gradual drain (SIGUSR2, or voltlane-ctl drain) lets clients go, those that are idle first, \
        before the relay shuts down.
        """),
    reload: .yes, place: { time, program in program.drainTime = time })

  let admin = RelaySetting(
    Setting(
      name: "admin", kind: .automatic(.adminEndpoint, word: "none"), standard: "none",
      summary: """
        Where the relay shows what it does, over HTTP: a status page, /metrics for Prometheus, /livez, /readyz, /varz, \
        /clients and /ended. An address that is not on the loopback needs --admin-allow.
        """),
    reload: .no, place: { endpoint, program in program.admin.endpoint = endpoint.given })

  let adminAllow = RelaySetting(
    Setting(
      name: "admin-allow", kind: .networkOrNone, standard: "none",
      summary: """
        Addresses that may connect to --admin; others are closed at once. May be given several times. 'none': all that \
        reach it, which has to be on the loopback then.
        """,
      isRepeatable: true),
    reload: .no, placeAll: { networks, program in program.admin.allowed = networks.compactMap(\.network) })

  let logLevel = RelaySetting(
    Setting(
      name: "log-level", kind: .logLevel, standard: "info",
      summary: "The least important messages that are logged, to standard error."),
    reload: .yes,
    place: { level, program in
      program.logLevel = level
      program.relay.eventLevel = Event.Level(level)
    })

  let logFormat = RelaySetting(
    Setting(
      name: "log-format", kind: SettingKind<LogFormat>.word, standard: "text",
      summary: """
        How messages are written: for people, or as one JSON object each. Where systemd's journal reads them, they \
        have their priority besides.
        """),
    reload: .no, place: { format, program in program.logFormat = format })
}

extension SettingKind where Value == Endpoint {
  fileprivate static var adminEndpoint: SettingKind {
    SettingKind("ADDRESS", allowed: Endpoint.forms, read: Settings.endpoint)
  }
}

extension SettingKind where Value == NetworkEntry {
  fileprivate static var networkOrNone: SettingKind {
    SettingKind("NETWORK|none", allowed: "none, or a network such as 10.0.0.0/8 or 2001:db8::/32") {
      text throws(Refusal) in
      guard !text.hasPrefix("@") else { throw .because("no file is read here") }
      return try NetworkEntry(text)
    }
  }
}

extension SettingKind where Value == String {
  fileprivate static func file(_ allowed: String) -> SettingKind {
    SettingKind("FILE", allowed: allowed, read: Settings.oneOf { $0.isEmpty || $0.utf8.contains(0) ? nil : $0 })
  }

  /// The name of a file with a key, and not the key itself.
  fileprivate static var fileOfKey: SettingKind {
    let file = file("a file that only its owner can read, or root and a group of the relay's")
    return SettingKind(file.placeholder, allowed: file.allowed) { text throws(Refusal) in
      guard !isSecret(text) else { throw .because("give the name of a file that contains it") }
      return try file.read(text)
    }
  }

  /// As an endpoint of which there is only one kind.
  fileprivate static var unixPath: SettingKind {
    SettingKind("ADDRESS", allowed: "unix:/path") { text throws(Refusal) in
      guard case .unix(let path) = try Settings.endpoint(text) else { throw .because("it is not a unix socket") }
      return path
    }
  }

  fileprivate static var congestionControl: SettingKind {
    SettingKind(
      "NAME", allowed: "a name in \(Machine.congestionControlFile)", read: Settings.oneOf { $0.isEmpty ? nil : $0 })
  }
}

extension SettingKind where Value == Logger.Level {
  fileprivate static var logLevel: SettingKind {
    SettingKind(
      "LEVEL", allowed: Logger.Level.allCases.map(\.rawValue).joined(separator: ", "),
      read: Settings.oneOf { Logger.Level(rawValue: $0) })
  }
}
