import Testing
import VoltlaneSettings

@testable import Voltlane

/// Settings by flag, environment and file: which wins, and what is said of mistakes.
@Suite struct ConfigurationTests {
  /// What flags, variables and a file `relay.toml` give together. The file is named by a flag where there is one.
  static func load(
    _ arguments: [String] = [], _ environment: [String: String] = [:], file: String? = nil
  ) throws -> LoadedSettings {
    let config = file == nil ? [] : ["--config", "relay.toml"]
    return try LoadedSettings(
      flags: try given(config + arguments), environment: environment, on: .test,
      files: SettingsFiles(configuration: file))
  }

  /// What is wrong with them.
  static func problems(
    _ arguments: [String] = [], _ environment: [String: String] = [:], file: String? = nil
  ) throws -> [String] {
    try #require(throws: ConfigurationError.self) { try load(arguments, environment, file: file) }.problems
  }

  /// A value of each setting other than its default, as its flag would have it.
  static let values: [String: String] = [
    "listen": "10.0.0.1:7", "unix-socket-mode": "0660", "unix-socket-group": "7", "backend": "10.0.0.5:7",
    "addresses": "on",
    "shards": "2", "threads": "3", "firehose-core": "shared", "io": "epoll", "cpus": "0-1",
    "handshake-workers": "3", "max-packet-size": "1KiB", "client-send-buffer": "2MiB", "client-receive-buffer": "1MiB",
    "packet-timeout": "31s",
    "assembly-budget": "2GiB", "stale-timeout": "6m", "away": "on", "max-stale-clients": "5",
    "missed-packets-buffer": "1KiB",
    "missed-packets-total": "2GiB", "half-close-timeout": "6s", "keepalive": "31s", "tcp-user-timeout": "61s",
    "backend-timeout": "31s", "announce": "off", "backend-loss": "drop", "backend-loss-timeout": "1m",
    "identity": "relay.key", "coalesce-time": "50us", "congestion-control": "reno", "shutdown-timeout": "6s",
    "admin": "127.0.0.1:42080", "admin-allow": "10.0.0.0/8", "log-level": "debug", "log-format": "json",
    "control": "unix:/run/control", "drain-time": "1m",
    "max-clients": "7", "max-clients-per-ip": "8", "max-clients-per-prefix": "9", "accept-rate": "300/m",
    "accept-rate-per-ip": "1/s", "handshake-timeout": "3s", "max-pending-handshakes": "10",
    "max-pending-handshakes-per-ip": "11", "ban-after": "5/m:9", "ban-for": "1h", "reconnect-failures": "2/m",
    "reconnect-failures-per-ip": "3/m", "client-packet-rate": "1000/s", "client-byte-rate": "1MiB/s:4MiB",
    "rate-policy": "end", "idle-timeout": "10m", "slow-client-timeout": "30s", "memory-budget": "2GiB",
    "allow": "10.0.0.0/8", "deny": "192.0.2.1", "limit-loopback": "on", "reject": "silent", "tcp-defer-accept": "2s",
    "backlog": "100", "proxy-protocol": "unix",
  ]

  @Test(arguments: Settings.entries.filter { $0.name != "config" })
  func everySettingIsInAllThree(entry: SettingEntry) throws {
    let value = try #require(Self.values[entry.name])
    let flag = try Self.load(["--\(entry.name)", value])
    let variable = try Self.load([], [EnvironmentSettings.variable(entry.name): value])
    let file = try Self.load(file: "\(entry.name) = \"\(value)\"")
    let standard = try Self.load()
    #expect("\(flag.configuration.relay)" == "\(variable.configuration.relay)")
    #expect("\(flag.configuration.relay)" == "\(file.configuration.relay)")
    #expect(flag.configuration.logLevel == variable.configuration.logLevel)
    #expect(flag.configuration.identity == file.configuration.identity)
    #expect(flag.given[entry] == [Given(setting: entry.name, text: value, origin: .flag)])
    #expect(standard.given[entry].isEmpty)
    // The value does something: a line of ProgramConfiguration reads it.
    var changed = flag.configuration
    changed.decisions = standard.configuration.decisions
    #expect("\(changed)" != "\(standard.configuration)")
  }

  /// What a running relay may take is what the settings say may be reloaded.
  @Test(arguments: Settings.entries.filter { $0.name != "config" })
  func aReloadChangesWhatMayBeReloaded(entry: SettingEntry) throws {
    let running = try Self.load().configuration.relay
    let new = try Self.load(["--\(entry.name)", try #require(Self.values[entry.name])]).configuration.relay
    let reloaded = new.reloaded(over: running)
    #expect("\(reloaded)" == "\(entry.isReloadable ? new : running)")
  }

  @Test func flagsWinThenVariablesThenTheFile() throws {
    let file = "log-level = 'error'\nshards = 1\nlisten = ['a:1', 'b:1']"
    let all = try Self.load(
      ["--log-level", "debug"], ["VOLTLANE_LOG_LEVEL": "trace", "VOLTLANE_SHARDS": "2", "PATH": "/bin"], file: file)
    #expect(all.configuration.logLevel == .debug)
    #expect(all.configuration.relay.shards == 2)
    #expect(all.configuration.relay.listeners.map(\.description) == ["a:1", "b:1"])
    // Several values are not added to those of another source.
    let other = try Self.load([], ["VOLTLANE_LISTEN": "c:1,d:1"], file: file)
    #expect(other.configuration.relay.listeners.map(\.description) == ["c:1", "d:1"])
  }

  @Test func aVariableMayNameTheFile() throws {
    let files = SettingsFiles { path, _ in Array("identity = '\(path)'".utf8) }
    let loaded = try LoadedSettings(flags: [], environment: ["VOLTLANE_CONFIG": "x.toml"], on: .test, files: files)
    #expect(loaded.configuration.identity == "x.toml")
    #expect(loaded.configuration.file == "x.toml")
  }

  @Test func valuesOfAFileNeedNotBeTexts() throws {
    let relay = try Self.load(file: "announce = false\nmax-packet-size = 1_024\nshards = 2").configuration.relay
    #expect(!relay.announce && relay.maxPacketSize == 1024 && relay.shards == 2)
  }

  // MARK: Mistakes

  @Test func everythingThatIsWrongIsSaid() throws {
    let file = """
      shards = 0
      stale-timeuot = "5m"
      announce = ["on"]
      listen = []
      config = "other.toml"
      master = "127.0.0.1:1"
      [general]
      colour = 1
      [clients]
      stale_timeout_sec = 1

      [threads]
      shards = 2
      """
    #expect(
      try Self.problems([], ["VOLTLANE_SHARD": "1", "VOLTLANE_KEEPALIVE": "soon"], file: file) == [
        "VOLTLANE_SHARD: there is no such setting; did you mean VOLTLANE_SHARDS?",
        "relay.toml:2:1: stale-timeuot: there is no such setting; did you mean stale-timeout?",
        "relay.toml:3:12: announce: it takes one value, not a list",
        "relay.toml:4:10: listen: the list is empty",
        "relay.toml:5:1: config: a file cannot name another one",
        "relay.toml:6:1: master: there is no such setting; did you mean backend?",
        "relay.toml:8:1: general.colour: there is no such setting",
        "relay.toml:10:1: clients.stale_timeout_sec: there is no such setting; did you mean "
          + "clients.stale_timeout_secs?",
        "relay.toml:13:1: threads.shards: there is no such setting; did you mean shards, which stands in no table?",
        "VOLTLANE_KEEPALIVE: 'soon' is not allowed: it is not a whole number with a unit. Allowed: "
          + "\(Settings.connections.keepalive.entry.allowed).",
        "relay.toml:1:10: shards: '0' is not allowed. Allowed: auto, or a number from 1 to 256.",
      ])
  }

  @Test func syntaxIsSaid() throws {
    #expect(
      try Self.problems(file: "\nshards = two")
        == ["relay.toml:2:10: 'two' is not a quoted string, a whole number, true or false"])
  }

  /// A key that was given where the name of its file belongs is not repeated, because errors are logged.
  @Test func aKeyIsNotPrinted() throws {
    let key = String(repeating: "0f", count: 32)
    for problems in [
      try Self.problems(["--identity", key]), try Self.problems([], ["VOLTLANE_IDENTITY": key]),
      try Self.problems(file: "identity = '\(key)'"),
    ] {
      #expect(problems.count == 1 && !problems[0].contains(key))
      #expect(
        problems[0].contains("identity: a key is not allowed: give the name of a file")
          || problems[0].hasPrefix("VOLTLANE_IDENTITY: a key is"))
    }
  }

  /// Values that go together one by one, but not all at once; the place of the one that is refused is named.
  @Test func valuesThatDoNotGoTogether() throws {
    let problems = try Self.problems(["--max-packet-size", "2MiB"], file: "assembly-budget = '1MiB'")
    #expect(problems.count == 1)
    #expect(
      problems[0].hasPrefix(
        "relay.toml:1:19: assembly-budget: '1MiB' is not allowed: it is less than --max-packet-size"))
  }

  /// 64 for a flag, 78 for the rest.
  @Test func usageIsToldFromConfiguration() throws {
    func isUsage(_ arguments: [String], _ environment: [String: String] = [:], file: String? = nil) throws -> Bool {
      try #require(throws: ConfigurationError.self) { try Self.load(arguments, environment, file: file) }.isUsage
    }
    #expect(try isUsage(["--shards", "0"]))
    #expect(try isUsage(["--config", ""]))
    #expect(try !isUsage([], ["VOLTLANE_SHARDS": "0"]))
    #expect(try !isUsage([], file: "shards = 0"))
    #expect(try !isUsage([], file: "shards ="))
    #expect(try !isUsage([], ["VOLTLANE_X": ""]))
  }

  @Test func suggestionsAreForOtherSpellingsToo() throws {
    #expect(
      try Self.problems([], ["VOLTLANE_MASTER": "x"])
        == ["VOLTLANE_MASTER: there is no such setting; did you mean VOLTLANE_BACKEND?"])
    #expect(
      try Self.problems([], ["VOLTLANE_COLOUR_OF_THE_SKY": "x"]) == [
        "VOLTLANE_COLOUR_OF_THE_SKY: there is no such setting"
      ])
  }

  /// What Kubernetes tells of a service with the relay's name is nobody's mistake.
  @Test func variablesOfKubernetesArePassedOver() throws {
    let names = [
      "VOLTLANE_SERVICE_HOST", "VOLTLANE_SERVICE_PORT", "VOLTLANE_SERVICE_PORT_CLIENTS", "VOLTLANE_PORT",
      "VOLTLANE_PORT_42000_TCP", "VOLTLANE_PORT_42000_TCP_ADDR", "VOLTLANE_EDGE_PORT_42000_TCP_PROTO",
    ]
    _ = try Self.load([], Dictionary(uniqueKeysWithValues: names.map { ($0, "tcp://10.0.0.1:42000") }))
  }

  @Test(arguments: [("a", "a", 0), ("", "abc", 3), ("kitten", "sitting", 3), ("shard", "shards", 1), ("ab", "ba", 2)])
  func distance(one: String, other: String, distance: Int) {
    #expect(NearestName.distance(one, other) == distance)
    #expect(NearestName.distance(other, one) == distance)
  }

  // MARK: What is in effect

  @Test func effectiveSettingsAreAFileOfTheSame() throws {
    let loaded = try Self.load(
      ["--listen", "a:1", "--listen", "unix:/run/\"v\\\t\u{1}.sock"],
      ["VOLTLANE_LOG_LEVEL": "debug"], file: "\nstale-timeout = '7m'")
    let text = loaded.effective.description
    let again = try Self.load(file: text)
    #expect("\(again.configuration.relay)" == "\(loaded.configuration.relay)")
    #expect(again.configuration.logLevel == .debug)

    let lines = text.split(separator: "\n").map { $0.split(separator: "  ").map(String.init) }
    #expect(lines.count == Settings.entries.count)
    func line(_ name: String) -> String { lines.first { $0[0].hasPrefix("\(name) = ") }?.joined(separator: "|") ?? "" }
    #expect(line("# config").contains("\"relay.toml\"") && line("# config").hasSuffix("# --config"))
    #expect(line("listen").contains("# --listen"))
    #expect(line("log-level").contains("= \"debug\"") && line("log-level").contains("# VOLTLANE_LOG_LEVEL"))
    #expect(line("stale-timeout").contains("= \"7m\"") && line("stale-timeout").contains("# relay.toml:2"))
    #expect(line("shards").contains("= \"auto\"") && line("shards").contains("# default; here 4"))
    #expect(line("keepalive").contains("= \"30s\"") && line("keepalive").hasSuffix("# default"))
  }

  // MARK: Nothing

  /// Where a list may be none, an empty one is that; `listen` has to have something.
  @Test(arguments: Settings.entries.filter(\.isRepeatable)) func anEmptyListIsNone(entry: SettingEntry) throws {
    let file = "\(entry.name) = [ ]"
    guard entry.accepts("none") else {
      #expect(
        try Self.problems(file: file) == ["relay.toml:1:\(entry.name.count + 4): \(entry.name): the list is empty"])
      return
    }
    let empty = try Self.load(file: file)
    #expect("\(empty.configuration.relay)" == "\(try Self.load().configuration.relay)")
    #expect(empty.given[entry].map(\.text) == ["none"])
    // It is a value, which wins over those further down, as others do.
    #expect(try Self.load([], [EnvironmentSettings.variable(entry.name): "none"], file: file).given[entry].count == 1)
  }

  /// No other value may be a list, empty or not.
  @Test func onlyListsMayBeEmpty() throws {
    #expect(try Self.problems(file: "shards = []") == ["relay.toml:1:10: shards: it takes one value, not a list"])
    let blank = try Self.problems(file: "deny = ''")
    #expect(blank.count == 1 && blank[0].hasPrefix("relay.toml:1:8: deny: "), "\(blank)")
  }

  /// As `${X:-}` makes it: the file's value stays, and so does the default.
  @Test(arguments: Settings.entries) func anEmptyVariableIsNotGiven(entry: SettingEntry) throws {
    let name = EnvironmentSettings.variable(entry.name)
    #expect("\(try Self.load([], [name: ""]).configuration)" == "\(try Self.load().configuration)")
    guard let value = Self.values[entry.name] else { return }
    let loaded = try Self.load([], [name: ""], file: "\(entry.name) = '\(value)'\n")
    #expect(loaded.given[entry].map(\.text) == [value])
  }

  /// By connserver's names as well, of which some are none of today's.
  @Test(arguments: EarlierSetting.all.map(\.variable)) func anEmptyEarlierVariableIsNotGiven(name: String) throws {
    let loaded = try Self.load([], [name: ""])
    #expect("\(loaded.configuration)" == "\(try Self.load().configuration)")
    #expect(loaded.given.warnings.isEmpty)
  }

  /// A misspelt name stays one.
  @Test func anEmptyVariableOfNoSettingIsRefused() throws {
    #expect(
      try Self.problems([], ["VOLTLANE_SHARD": ""]) == [
        "VOLTLANE_SHARD: there is no such setting; did you mean VOLTLANE_SHARDS?"
      ])
    // Nor is a blank nothing.
    #expect(try Self.problems([], ["VOLTLANE_SHARDS": " "]).count == 1)
  }
}
