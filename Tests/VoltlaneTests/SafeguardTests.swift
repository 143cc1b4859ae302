import Foundation
import Relay
import Testing
import VoltlaneSettings

@testable import Voltlane

/// What a reload says of settings that protect less than before.
@Suite struct SafeguardTests {
  /// A value of each, and one with which it protects less.
  private static let values: [(setting: String, more: String, less: String)] = [
    ("max-clients", "10", "11"), ("max-clients", "10", "0"), ("max-clients-per-ip", "64", "0"),
    ("max-clients-per-prefix", "8", "9"), ("max-pending-handshakes", "8", "0"),
    ("max-pending-handshakes-per-ip", "8", "9"), ("accept-rate", "20/s", "0"),
    ("accept-rate-per-ip", "20/s:40", "20/s:41"),
    ("accept-rate-per-ip", "20/m:40", "20/s:40"), ("ban-after", "30/m", "0"), ("reconnect-failures", "5/m", "6/m"),
    ("reconnect-failures-per-ip", "5/m", "0"), ("client-packet-rate", "5/s", "0"), ("client-byte-rate", "5/s", "6/s"),
    ("handshake-timeout", "5s", "0"), ("packet-timeout", "5s", "6s"), ("idle-timeout", "5s", "0"),
    ("slow-client-timeout", "5s", "6s"),
    ("client-send-buffer", "1MiB", "2MiB"), ("assembly-budget", "16MiB", "17MiB"),
    ("missed-packets-buffer", "1KiB", "2KiB"), ("missed-packets-total", "16MiB", "17MiB"),
    ("max-stale-clients", "1", "2"), ("memory-budget", "1GiB", "2GiB"), ("memory-budget", "1GiB", "auto"),
    ("ban-for", "5m", "4m"), ("rate-policy", "end", "pause"), ("limit-loopback", "on", "off"),
    ("deny", "10.0.0.0/8", "10.0.0.0/9"), ("deny", "10.0.0.0/8", "none"), ("allow", "none", "10.0.0.1"),
    ("allow", "10.0.0.0/9", "10.0.0.0/8"), ("proxy-protocol", "10.0.0.1", "10.0.0.0/24"),
    ("proxy-protocol", "none", "unix"),
  ]

  @Test func everyDirectionIsTried() {
    let guarded = Settings.all.filter { if case .guarded = $0.reload { true } else { false } }
    #expect(Set(Self.values.map(\.setting)) == Set(guarded.map(\.entry.name)))
  }

  private func change(_ name: String, _ old: String, _ new: String) throws -> Reload.Change? {
    let file = { (value: String) in "\(name) = '\(value)'\n" }
    let loaded = try ConfigurationTests.load(file: file(old))
    let reload = Reload(flags: try given(["--config", "relay.toml"]), settings: loaded)
    let outcome = try reload.read(
      environment: [:], on: .test, files: SettingsFiles(configuration: file(new), after: loaded.fingerprints))
    return outcome.changes.first { $0.name == name }
  }

  @Test(arguments: values) func lessIsTold(setting: String, more: String, less: String) throws {
    #expect(try change(setting, more, less)?.isLowered == true)
    #expect(try change(setting, less, more)?.isLowered == false)
  }

  /// Other networks that are the same addresses, or more of them.
  @Test func listsAreComparedByAddress() throws {
    #expect(try change("deny", "10.1.0.0/16", "10.0.0.0/8")?.isLowered == false)
    #expect(try change("allow", "10.0.0.0/8", "10.1.0.0/16")?.isLowered == false)
    #expect(try change("deny", "2001:db8::/32", "2001:db8::/33")?.isLowered == true)
  }
}
