import Relay
import Testing

/// A running relay goes on with other settings, on all its threads, and nobody is dropped for it.
@Suite struct ReconfigurationTests {
  /// Enough clients that every shard has some.
  private static let clients = 16

  @Test(arguments: Layout.allCases)
  func `limits hold for sessions that are there already`(_ layout: Layout) throws {
    let rig = try Rig(layout) { $0.staleTimeout = .seconds(600) }
    let clients = try (0..<Self.clients).map { _ in try rig.test.client() }
    for client in clients { #expect(try rig.roundTrip(client)) }

    var settings = rig.relay.configuration
    settings.staleTimeout = .zero
    #expect(rig.relay.reconfigure(settings))
    for client in clients { #expect(try rig.roundTrip(client)) }
    #expect(rig.relay[.sessionsEnded] == 0)
    // With the old settings they would all be stale for ten minutes.
    for client in clients { client.socket.reset() }
    #expect(rig.test.eventually(.sessionsEnded, is: UInt64(Self.clients)))
  }

  @Test(arguments: Layout.allCases)
  func `budgets of the relay as a whole`(_ layout: Layout) throws {
    let rig = try Rig(layout) { $0.staleTimeout = .seconds(600) }
    let client = try rig.test.client()
    client.socket.reset()
    #expect(rig.test.eventually(.sessionsGoneStale, is: 1))
    var settings = rig.relay.configuration
    settings.missedPacketsTotal = 1000
    #expect(rig.relay.reconfigure(settings))
    try rig.firehose.send(.data(client.id, pattern(2000)))
    #expect(try rig.firehose.receive() == .failure(client.id, "memory"))
  }

  @Test(arguments: Layout.allCases)
  func `the level of events`(_ layout: Layout) throws {
    let rig = try Rig(layout) { $0.eventLevel = .warning }
    _ = try rig.test.client()
    rig.relay.takeEvents { Issue.record("\($0) is not wanted") }
    var settings = rig.relay.configuration
    settings.eventLevel = .debug
    #expect(rig.relay.reconfigure(settings))
    var started = 0
    var kept: [RawClient] = []
    // A thread takes its settings in its next turn, which may come after the next client.
    #expect(
      try rig.test.eventually {
        kept.append(try rig.test.client())
        rig.relay.takeEvents { if case .sessionStarted = $0 { started += 1 } }
        return started >= Self.clients
      })
  }

  @Test func `what is fixed at the start stays`() throws {
    let rig = try Rig()
    let before = rig.relay.configuration
    var settings = RelayConfiguration(listeners: [], backend: .unix(path: "/elsewhere"))
    settings.shards = 7
    settings.maxPacketSize = 1
    settings.packetTimeout = .seconds(7)
    #expect(rig.relay.reconfigure(settings))
    #expect(rig.relay.configuration.listeners == before.listeners)
    #expect(rig.relay.configuration.backend == before.backend)
    #expect(rig.relay.configuration.shards == before.shards)
    #expect(rig.relay.configuration.maxPacketSize == before.maxPacketSize)
    #expect(rig.relay.configuration.packetTimeout == .seconds(7))
    #expect(try rig.roundTrip(rig.test.client(), pattern(5000)))
  }
}
