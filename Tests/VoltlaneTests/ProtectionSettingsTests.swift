import Foundation
import Relay
import Testing
import VoltlaneSettings

@testable import Voltlane

/// The flags that protect the relay: defaults, what they accept, what they refuse and in which words.
@Suite struct ProtectionSettingsTests {
  private func protection(_ arguments: String..., machine: Machine = .test) throws -> ProtectionConfiguration {
    try configure(arguments, on: machine).relay.protection
  }

  @Test func defaults() throws {
    let protection = try protection()
    // 8 GiB of memory and a million descriptors.
    #expect(protection.memoryBudget == 4 << 30)
    #expect(protection.maxClients == 131_072)
    #expect(protection.maxClientsPerAddress == 64)
    #expect(protection.maxClientsPerPrefix == 256)
    #expect(protection.acceptRate == nil)
    #expect(protection.acceptRatePerAddress == Rate(20, per: .second, burst: 40))
    #expect(protection.handshakeTimeout == .seconds(5))
    #expect(protection.maxPendingHandshakes == 4096)
    #expect(protection.maxPendingHandshakesPerAddress == 16)
    #expect(protection.banAfter == Rate(30, per: .minute))
    #expect(protection.banTime == .seconds(300))
    #expect(protection.reconnectFailures == Rate(5, per: .minute))
    #expect(protection.reconnectFailuresPerAddress == Rate(20, per: .minute))
    #expect(protection.clientPacketRate == nil)
    #expect(protection.clientByteRate == nil)
    #expect(protection.ratePolicy == .pause)
    #expect(protection.idleTimeout == nil)
    #expect(protection.slowClientTimeout == .seconds(10))
    #expect(protection.allowed == [] && protection.denied == [] && protection.proxies == [])
    #expect(!protection.limitsLoopback && !protection.trustsUnixProxies)
    #expect(protection.rejection == .close)
    #expect(protection.deferAccept == nil)
    #expect(protection.backlog == 4096)
  }

  /// What the program does without flags is what the library does by itself, where no machine is asked.
  @Test func zeroIsNoLimit() throws {
    let protection = try protection(
      "--max-clients", "0", "--max-clients-per-ip", "0", "--max-clients-per-prefix", "0", "--accept-rate-per-ip", "0",
      "--handshake-timeout", "0", "--max-pending-handshakes", "0", "--max-pending-handshakes-per-ip", "0",
      "--ban-after", "0", "--reconnect-failures", "0", "--reconnect-failures-per-ip", "0", "--slow-client-timeout",
      "0")
    #expect(protection.maxClients == nil)
    #expect(protection.maxClientsPerAddress == nil)
    #expect(protection.maxClientsPerPrefix == nil)
    #expect(protection.acceptRatePerAddress == nil)
    #expect(protection.handshakeTimeout == nil)
    #expect(protection.maxPendingHandshakes == nil)
    #expect(protection.maxPendingHandshakesPerAddress == nil)
    #expect(protection.banAfter == nil)
    #expect(protection.reconnectFailures == nil)
    #expect(protection.reconnectFailuresPerAddress == nil)
    #expect(protection.slowClientTimeout == nil)
  }

  @Test func values() throws {
    let protection = try protection(
      "--max-clients", "7", "--max-clients-per-ip", "8", "--max-clients-per-prefix", "9", "--accept-rate", "300/m",
      "--accept-rate-per-ip", "1/s", "--handshake-timeout", "3s", "--max-pending-handshakes", "10",
      "--max-pending-handshakes-per-ip", "11", "--ban-after", "5/m:9", "--ban-for", "1h", "--reconnect-failures",
      "2/m", "--reconnect-failures-per-ip", "3/m", "--client-packet-rate", "1000/s", "--client-byte-rate",
      "1MiB/s:4MiB", "--rate-policy", "end", "--idle-timeout", "10m", "--slow-client-timeout", "30s",
      "--memory-budget", "2GiB", "--allow", "10.0.0.0/8", "--allow", "::1", "--deny", "192.0.2.1",
      "--limit-loopback", "on", "--reject", "silent", "--tcp-defer-accept", "2s", "--backlog", "100",
      "--proxy-protocol", "unix", "--proxy-protocol", "fd00::/8")
    #expect(protection.maxClients == 7)
    #expect(protection.maxClientsPerAddress == 8)
    #expect(protection.maxClientsPerPrefix == 9)
    #expect(protection.acceptRate == Rate(300, per: .minute))
    #expect(protection.acceptRatePerAddress == Rate(1, per: .second))
    #expect(protection.handshakeTimeout == .seconds(3))
    #expect(protection.maxPendingHandshakes == 10)
    #expect(protection.maxPendingHandshakesPerAddress == 11)
    #expect(protection.banAfter == Rate(5, per: .minute, burst: 9))
    #expect(protection.banTime == .seconds(3600))
    #expect(protection.reconnectFailures == Rate(2, per: .minute))
    #expect(protection.reconnectFailuresPerAddress == Rate(3, per: .minute))
    #expect(protection.clientPacketRate == Rate(1000, per: .second))
    #expect(protection.clientByteRate == Rate(1 << 20, per: .second, burst: 4 << 20))
    #expect(protection.ratePolicy == .end)
    #expect(protection.idleTimeout == .seconds(600))
    #expect(protection.slowClientTimeout == .seconds(30))
    #expect(protection.memoryBudget == 2 << 30)
    #expect(protection.allowed.map(\.description) == ["10.0.0.0/8", "::1"])
    #expect(protection.denied.map(\.description) == ["192.0.2.1"])
    #expect(protection.limitsLoopback)
    #expect(protection.rejection == .silent)
    #expect(protection.deferAccept == .seconds(2))
    #expect(protection.backlog == 100)
    #expect(protection.trustsUnixProxies)
    #expect(protection.proxies.map(\.description) == ["fd00::/8"])
  }

  @Test func theDefaultMaximumFollowsDescriptorsAndMemory() throws {
    var machine = Machine.test
    machine.descriptors = 1024
    #expect(try protection(machine: machine).maxClients == 896)
    machine.descriptors = 64
    #expect(try protection(machine: machine).maxClients == 1)
    machine.descriptors = 1 << 20
    #expect(try protection("--memory-budget", "32MiB", machine: machine).maxClients == 1024)
  }

  @Test func networksInAFile() throws {
    let file = FileManager.default.temporaryDirectory.appendingPathComponent("networks-\(UUID().uuidString)")
    defer { try? FileManager.default.removeItem(at: file) }
    try Data("# ours\n10.0.0.0/8\n\n  2001:db8::/32  # theirs\n".utf8).write(to: file)
    #expect(
      try protection("--deny", "@\(file.path)", "--deny", "::1").denied.map(\.description)
        == ["10.0.0.0/8", "2001:db8::/32", "::1"])
    try Data("10.0.0.0/8\n10.0.0.1/8\n".utf8).write(to: file)
    let error = try #require(try refusal(["--deny", "@\(file.path)"]))
    #expect(error.description.contains("\(file.path):2: it has bits set after its prefix"))
  }
}
