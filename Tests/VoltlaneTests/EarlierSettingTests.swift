import Testing
import VoltlaneSettings

@testable import Voltlane

/// A deployment of connserver moves over as it is.
@Suite struct EarlierSettingTests {
  static let file = """
    [general]
    log_level = "warn"

    [listener]
    address = "::1:42000"

    [master]
    address = "10.0.0.5:42001"
    channel_capacity = 1000

    [clients]
    channel_capacity = 512
    stale_timeout_secs = 120
    max_stale_clients = 1000
    stale_reap_interval_secs = 10
    missed_packets_buffer_size = 32
    """

  static let variables = [
    "VOLTLANE_LOG_LEVEL": "WARN", "VOLTLANE_LISTENER_ADDRESS": "::1:42000", "VOLTLANE_MASTER_ADDRESS": "10.0.0.5:42001",
    "VOLTLANE_MASTER_CHANNEL_CAPACITY": "1000", "VOLTLANE_CLIENTS_CHANNEL_CAPACITY": "512",
    "VOLTLANE_CLIENTS_STALE_TIMEOUT_SECS": "120", "VOLTLANE_CLIENTS_MAX_STALE_CLIENTS": "1000",
    "VOLTLANE_CLIENTS_STALE_REAP_INTERVAL_SECS": "10", "VOLTLANE_CLIENTS_MISSED_PACKETS_BUFFER_SIZE": "32",
  ]

  private func expectToday(_ loaded: LoadedSettings) {
    let relay = loaded.configuration.relay
    #expect(loaded.configuration.logLevel == .warning)
    #expect(relay.listeners == [.tcp(host: "::1", port: 42000)])
    #expect(relay.backend == .tcp(host: "10.0.0.5", port: 42001))
    #expect(relay.clientSendBuffer == 512 * 4096)
    #expect(relay.staleTimeout == .seconds(120))
    #expect(relay.maxStaleClients == 1000)
    #expect(relay.missedPacketsBuffer == 32 * 4096)
  }

  @Test func itsFileIsUnderstood() throws {
    let loaded = try ConfigurationTests.load(file: Self.file)
    expectToday(loaded)
    #expect(
      loaded.given.warnings == [
        "relay.toml:2:13: general.log_level is a setting of connserver: today it is log-level = \"warning\"",
        "relay.toml:5:11: listener.address is a setting of connserver: today it is listen = \"[::1]:42000\"",
        "relay.toml:8:11: master.address is a setting of connserver: today it is backend = \"10.0.0.5:42001\"",
        "relay.toml:9:20: master.channel_capacity is a setting of connserver that no longer exists: "
          + "the queue for the backend has a bound of its own, in bytes",
        "relay.toml:12:20: clients.channel_capacity is a setting of connserver: today it is "
          + "client-send-buffer = \"2MiB\"",
        "relay.toml:13:22: clients.stale_timeout_secs is a setting of connserver: today it is stale-timeout = \"120s\"",
        "relay.toml:14:21: clients.max_stale_clients is a setting of connserver: today it is "
          + "max-stale-clients = \"1000\"",
        "relay.toml:15:28: clients.stale_reap_interval_secs is a setting of connserver that no longer exists: "
          + "a stale session ends as soon as its time is over",
        "relay.toml:16:30: clients.missed_packets_buffer_size is a setting of connserver: today it is "
          + "missed-packets-buffer = \"128KiB\"",
      ])
  }

  @Test func itsVariablesAreUnderstood() throws {
    let loaded = try ConfigurationTests.load([], Self.variables)
    expectToday(loaded)
    #expect(loaded.given.warnings.count == Self.variables.count)
    #expect(
      loaded.given.warnings.contains(
        "VOLTLANE_MASTER_ADDRESS is a setting of connserver: today it is VOLTLANE_BACKEND=10.0.0.5:42001"))
    #expect(
      loaded.given.warnings.contains(
        "VOLTLANE_LOG_LEVEL is a setting of connserver: today it is VOLTLANE_LOG_LEVEL=warning"))
  }

  /// Its levels that are levels today are nothing to warn of.
  @Test func todaysLevelIsToday() throws {
    #expect(try ConfigurationTests.load([], ["VOLTLANE_LOG_LEVEL": "debug"]).given.warnings.isEmpty)
    #expect(try ConfigurationTests.load([], ["VOLTLANE_LOG_LEVEL": "OFF"]).configuration.logLevel == .critical)
  }

  @Test func todaysNamesWin() throws {
    let loaded = try ConfigurationTests.load(
      ["--backend", "b:1"], ["VOLTLANE_CLIENTS_STALE_TIMEOUT_SECS": "120"],
      file: "stale-timeout = '1m'\n[master]\naddress = 'a:1'")
    #expect(loaded.configuration.relay.backend == .tcp(host: "b", port: 1))
    #expect(loaded.configuration.relay.staleTimeout == .seconds(60))
    #expect(
      loaded.given.warnings == [
        "VOLTLANE_CLIENTS_STALE_TIMEOUT_SECS is a setting of connserver, and ignored: relay.toml:1:17: stale-timeout "
          + "is given",
        "relay.toml:3:11: master.address is a setting of connserver, and ignored: --backend is given",
      ])
  }

  /// connserver took any number, and anyone who wanted no limit gave a large one.
  @Test func whatIsMoreThanThereMayBeTodayIsTheMost() throws {
    let loaded = try ConfigurationTests.load(
      [], ["VOLTLANE_CLIENTS_STALE_TIMEOUT_SECS": "31536000"],
      file: """
        [master]
        channel_capacity = 9223372036854775807
        [clients]
        channel_capacity = 9223372036854775807
        max_stale_clients = 16_777_217
        missed_packets_buffer_size = "18446744073709551615"
        """)
    #expect(loaded.configuration.relay.staleTimeout == .seconds(7 * 24 * 3600))
    #expect(loaded.configuration.relay.maxStaleClients == 1 << 24)
    #expect(loaded.configuration.relay.clientSendBuffer == 1 << 40)
    #expect(loaded.configuration.relay.missedPacketsBuffer == 1 << 40)
    #expect(
      loaded.given.warnings.contains(
        "VOLTLANE_CLIENTS_STALE_TIMEOUT_SECS is a setting of connserver: today it is VOLTLANE_STALE_TIMEOUT=168h, "
          + "which is the most"))
    #expect(loaded.given.warnings.count { $0.hasSuffix(", which is the most") } == 4)
  }

  @Test func itsWrongValuesAreRefused() throws {
    #expect(
      try ConfigurationTests.problems(
        [], ["VOLTLANE_CLIENTS_MAX_STALE_CLIENTS": "many", "VOLTLANE_LOG_LEVEL": "loud"],
        file: """
          [clients]
          stale_timeout_secs = '1m'
          missed_packets_buffer_size = -1
          [listener]
          address = 1
          """
      ) == [
        "VOLTLANE_CLIENTS_MAX_STALE_CLIENTS: 'many' is not allowed: it is not a whole number",
        "relay.toml:2:22: clients.stale_timeout_secs: it is not a whole number",
        "relay.toml:3:30: clients.missed_packets_buffer_size: it is not a whole number",
        "VOLTLANE_LOG_LEVEL: 'loud' is not allowed. Allowed: \(Settings.operation.logLevel.entry.allowed).",
        "relay.toml:5:11: listener.address: '1' is not allowed: it has no port. Allowed: "
          + "\(Settings.addresses.listen.entry.allowed).",
      ])
  }
}
