import Testing
import VoltlaneSettings

@testable import Voltlane

@Suite struct ReloadTests {
  private let start = "stale-timeout = '1m'\nshards = 1\nlog-level = 'info'"

  private func reload(_ arguments: [String] = []) throws -> Reload {
    Reload(
      flags: try Flags.parse(["--config", "relay.toml"] + arguments).given,
      settings: try ConfigurationTests.load(arguments, file: start))
  }

  private func read(_ reload: Reload, _ file: String, _ environment: [String: String] = [:]) throws -> Reload.Outcome {
    try reload.read(environment: environment, on: .test, read: { _ in file })
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
}
