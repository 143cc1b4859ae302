import Foundation
import Testing
import VoltlaneSettings

@testable import Voltlane

@Suite struct ReloadTests {
  private let start = "stale-timeout = '1m'\nshards = 1\nlog-level = 'info'"

  private func reload(_ arguments: [String] = []) throws -> Reload {
    Reload(
      flags: try given(["--config", "relay.toml"] + arguments),
      settings: try ConfigurationTests.load(arguments, file: start))
  }

  private func read(_ reload: Reload, _ file: String, _ environment: [String: String] = [:]) throws -> Reload.Outcome {
    try reload.read(
      environment: environment, on: .test,
      files: SettingsFiles(configuration: file + "\n", after: reload.settings.fingerprints))
  }

  @Test func whatMayChangeChanges() throws {
    var reload = try reload()
    let outcome = try read(reload, "stale-timeout = '2m'\nshards = 2\nlog-level = 'info'\nkeepalive = '1s'")
    #expect(outcome.changes.map(\.description) == ["stale-timeout: 2m, was 1m"])
    #expect(outcome.needRestart.map(\.description) == ["shards: 2, was 1", "keepalive: 1s, was 30s"])
    #expect(outcome.settings.configuration.relay.staleTimeout == .seconds(120))
    #expect(outcome.settings.configuration.relay.shards == 1)
    reload.adopt(outcome)
    // The same again: nothing changes, and what waits for a restart still does.
    let again = try read(reload, "stale-timeout = '2m'\nshards = 2\nlog-level = 'info'")
    #expect(again.changes.isEmpty)
    #expect(again.needRestart.map(\.name) == ["shards"])
  }

  @Test func whatIsNoLongerGivenIsTheDefault() throws {
    let outcome = try read(try reload(), "shards = 1")
    #expect(outcome.changes.map(\.description) == ["stale-timeout: 5m, was 1m"])
  }

  @Test func flagsStay() throws {
    let outcome = try read(try reload(["--stale-timeout", "3m"]), "stale-timeout = '2m'\nshards = 1")
    #expect(outcome.changes.isEmpty)
    #expect(outcome.settings.configuration.relay.staleTimeout == .seconds(180))
  }

  @Test func aBadFileIsRefusedWhole() throws {
    let reload = try reload()
    let error = try #require(throws: ConfigurationError.self) {
      try read(reload, "stale-timeout = '2m'\nshards = 0")
    }
    #expect(error.problems.count == 1)
    #expect(reload.settings.configuration.relay.staleTimeout == .seconds(60))
  }

  /// A good file whose settings do not go with those that cannot change.
  @Test func aFileThatWantsARestartFirst() throws {
    let error = try #require(throws: ConfigurationError.self) {
      try read(try reload(), "max-packet-size = '1KiB'\nassembly-budget = '1MiB'\nshards = 1")
    }
    #expect(error.problems[0].contains("it is less than --max-packet-size, which is 8388599"))
  }

  @Test func limitsChange() throws {
    let reload = try reload()
    let file = """
      stale-timeout = '1m'
      shards = 1
      max-clients-per-ip = 7
      accept-rate-per-ip = '1/s'
      idle-timeout = '1h'
      backlog = 8
      """
    let outcome = try read(reload, file)
    #expect(
      outcome.changes.map(\.description) == [
        "max-clients-per-ip: 7, was 64", "accept-rate-per-ip: 1/s, was 20/s:40", "idle-timeout: 1h, was 0",
      ])
    #expect(outcome.needRestart.map(\.description) == ["backlog: 8, was 4096"])
    #expect(outcome.settings.configuration.relay.protection.maxClientsPerAddress == 7)
    #expect(outcome.settings.configuration.relay.protection.backlog == 4096)
  }

  @Test func filesOfNetworksAreReadAnew() throws {
    let list = FileManager.default.temporaryDirectory.appendingPathComponent("networks-\(UUID().uuidString)")
    defer { try? FileManager.default.removeItem(at: list) }
    try Data("10.0.0.0/8\n192.0.2.1\n".utf8).write(to: list)
    var reload = try reload(["--deny", "@\(list.path)"])
    #expect(reload.settings.configuration.listFiles == [list.path])
    #expect(try read(reload, start).changes.isEmpty)

    // With the line ends of another system, and comments.
    try Data("\u{feff}# attackers\r\n192.0.2.1\r\n\t192.0.2.2 # since May\r\n2001:db8::/32\r\n".utf8).write(to: list)
    let outcome = try read(reload, start)
    #expect(outcome.changes.map(\.description) == ["deny: networks in its files: 2 new, 1 gone"])
    reload.adopt(outcome)
    #expect(try read(reload, start).changes.isEmpty)

    try Data("192.0.2. 1\n".utf8).write(to: list)
    #expect(throws: ConfigurationError.self) { try read(reload, start) }
    try Data("192.0.2.1\n192.0.2.300\n".utf8).write(to: list)
    let error = try #require(throws: ConfigurationError.self) { try read(reload, "stale-timeout = '2m'") }
    #expect(error.problems[0].contains("\(list.path):2: '192.0.2.300' is not an IPv4 or IPv6 address"))
    try FileManager.default.removeItem(at: list)
    let missing = try #require(throws: ConfigurationError.self) { try read(reload, start) }
    #expect(missing.problems[0].contains("\(list.path): it cannot be read: No such file or directory"))
  }

  /// The reading thread may signal an outcome that was taken already. That must not keep the control thread awake.
  @Test func aLateSignalOfAnOutcomeIsCleared() throws {
    let background = try BackgroundReload()
    func isSignalled(within milliseconds: Int32) -> Bool {
      var watched = pollfd(fd: background.signal, events: Int16(POLLIN), revents: 0)
      return poll(&watched, 1, milliseconds) == 1
    }
    let reload = Reload(flags: [], settings: try LoadedSettings(flags: [], environment: [:]))
    try background.begin { () throws(ConfigurationError) in try reload.read() }
    #expect(isSignalled(within: 60_000))
    #expect(background.take() != nil)
    #expect(!isSignalled(within: 0))
    var late: UInt64 = 1
    #expect(write(background.signal, &late, 8) == 8)
    #expect(background.take() == nil)
    #expect(!isSignalled(within: 0))
  }

  /// A list that is written empty is no list, and nothing is in its way.
  @Test func aListMayBecomeNothing() throws {
    let file = { (list: String) in "deny = \(list)\n" }
    let loaded = try ConfigurationTests.load(file: file("['10.0.0.1']"))
    let reload = Reload(flags: try given(["--config", "relay.toml"]), settings: loaded)
    let outcome = try reload.read(
      environment: [:], on: .test, files: SettingsFiles(configuration: file("[]"), after: loaded.fingerprints))
    #expect(outcome.settings.configuration.relay.protection.denied.isEmpty)
    #expect(outcome.changes.map(\.description) == ["deny: none, was 10.0.0.1"])
    #expect(outcome.changes.map(\.isLowered) == [true])
  }
}
