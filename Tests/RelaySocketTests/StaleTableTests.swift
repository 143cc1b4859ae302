import Relay
import Testing

/// The limits of sessions that wait for their clients, over real sockets.
@Suite struct StaleTableTests {
  /// A crowd from everywhere connects and leaves again, while the owners are away: it evicts itself.
  @Test(arguments: Layout.allCases)
  func `a crowd of connect-and-close evicts no owner`(_ layout: Layout) throws {
    let rig = try ReconnectionTests.rig(layout) { $0.maxStaleClients = 20 }
    let owners = try (0..<10).map { _ in try rig.test.client() }
    for owner in owners { #expect(try rig.roundTrip(owner)) }
    for owner in owners { owner.socket.reset() }
    #expect(rig.test.eventually(.sessionsGoneStale, is: 10))
    for number in 0..<200 {
      let source = Endpoint.tcp(host: "127.\(1 + number % 100).\(number % 7).9", port: 0)
      try RawClient(RawSocket(to: rig.test.endpoint, from: source)).socket.reset()
    }
    var ended: Set<UInt64> = []
    for _ in 0..<190 {
      let packet = try rig.firehose.receive()
      #expect(packet == .failure(packet.id, "stale table full"))
      #expect(ended.insert(packet.id).inserted)
    }
    for owner in owners {
      _ = try rig.test.comeBack(owner.id)
      #expect(try rig.firehose.receive() == .reconnection(owner.id))
    }
  }

  @Test(arguments: Layout.allCases)
  func `over its own limit a stale session ends, over the total the largest does`(_ layout: Layout) throws {
    let rig = try ReconnectionTests.rig(layout) {
      $0.missedPacketsBuffer = 50_000
      $0.missedPacketsTotal = 100_000
      $0.maxPacketSize = 90_000
    }
    let clients = try (0..<3).map { _ in try rig.test.client() }
    for client in clients { client.socket.reset() }
    #expect(rig.test.eventually(.sessionsGoneStale, is: 3))
    // One packet always fits, the next does not; then the total is reached.
    try rig.firehose.send(.data(clients[0].id, pattern(60_000)), .data(clients[0].id, []))
    #expect(try rig.firehose.receive() == .failure(clients[0].id, "buffer overflow"))
    try rig.firehose.send(.data(clients[1].id, pattern(70_000)), .data(clients[2].id, pattern(40_000)))
    #expect(try rig.firehose.receive() == .failure(clients[1].id, "memory"))
    let back = try rig.test.comeBack(clients[2].id)
    #expect(try back.receive() == pattern(40_000))
  }
}
