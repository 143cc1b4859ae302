import Glibc
import Relay
import Testing

/// What the relay counts adds up: whatever came in went out, or is counted as lost; and every session that began lives
/// or has ended for a reason.
@Suite struct SumsTests {
  @Test(arguments: Layout.allCases)
  func `packets in are packets out, or counted as lost`(_ layout: Layout) throws {
    let rig = try Rig(layout) { $0.staleTimeout = .seconds(60) }
    let observer = try #require(rig.relay.observer)
    let clients = try (0..<6).map { _ in try rig.test.client() }
    for (index, client) in clients.enumerated() {
      for number in 0...index { try client.send(Array(repeating: UInt8(number), count: 10 * number)) }
    }
    var up = (packets: 0, bytes: 0)
    while up.packets < 21 {
      let packet = try rig.firehose.receive()
      try #require(packet.flag == 0)
      up = (up.packets + 1, up.bytes + packet.data.count)
    }
    #expect(rig.test.eventually(.packetsUp, is: 21))
    #expect(observer[.bytesUp] == UInt64(up.bytes))
    // Down to those who are here, who are away, who never were, and who are gone.
    clients[5].socket.reset()
    #expect(rig.test.eventually(.sessionsGoneStale, is: 1))
    try rig.firehose.send(.kick(clients[4].id))
    #expect(rig.test.eventually(.endedKicked, is: 1))
    var sent: UInt64 = 0
    for _ in 0..<50 {
      for client in clients { try rig.firehose.send(.data(client.id, [1, 2, 3])) }
      try rig.firehose.send(.data(12345, [4]))
      sent += UInt64(clients.count) + 1
    }
    #expect(
      rig.test.eventually {
        observer[.packetsDown] + observer[.packetsUnknownClient] + observer[.volatileDropped] == sent
      })
    #expect(observer[.packetsUnknownClient] == 100 && observer[.packetsDown] == 250)
    #expect(observer[.bytesDown] == 750)
    for client in clients.prefix(4) {
      for _ in 0..<50 { #expect(try client.receive() == [1, 2, 3]) }
    }
    // The rest is kept for the one that is away: with its size prefix, a packet takes 7 bytes.
    #expect(observer.missedBytes >= 50 * 7)
    Self.check(observer, live: 5)
    #expect(observer.shards.reduce(0) { $0 + $1.packetsUp } == observer[.packetsUp])
    #expect(observer.shards.reduce(0) { $0 + $1.bytesDown } == observer[.bytesDown])
    #expect(observer.distribution(.handshakeTime).buckets.reduce(0, +) == 6)
  }

  /// Sessions that began are those that live and those that ended, by reason; the same of refused connections.
  static func check(_ observer: RelayObserver, live: Int) {
    let ended = CloseReason.allCases.reduce(0) { $0 + observer[$1.metric] }
    #expect(ended == observer[.sessionsEnded])
    #expect(observer[.sessionsStarted] == ended + UInt64(live))
    #expect(observer.attachedSessions + observer.staleSessions == live)
    #expect(observer.shards.reduce(0) { $0 + $1.sessions } == live)
    #expect(RefusalReason.allCases.reduce(0) { $0 + observer[$1.metric] } == observer[.clientsRefused])
  }

  @Test(arguments: Layout.allCases)
  func `handshakes are counted while they last`(_ layout: Layout) throws {
    let rig = try Rig(layout) { $0.protection.maxClients = 3 }
    let observer = try #require(rig.relay.observer)
    let silent = try (0..<2).map { _ in try rig.test.connect() }
    #expect(rig.test.eventually { observer.handshakes == 2 && observer.clients == 2 })
    let client = try rig.test.client()
    #expect(rig.test.eventually { observer.attachedSessions == 1 && observer.clients == 3 && observer.handshakes == 2 })
    let refused = try rig.test.connect()
    #expect(rig.test.eventually(.refusedClients, is: 1))
    for socket in silent + [refused] { socket.close() }
    #expect(rig.test.eventually { observer.handshakes == 0 && observer.clients == 1 })
    Self.check(observer, live: 1)
    client.socket.close()
    #expect(rig.test.eventually { observer.clients == 0 })
    Self.check(observer, live: 0)
  }

  @Test func `the backend's state is seen from outside`() throws {
    let backend = try RawBackend()
    let test = try TestRelay(backend: backend.endpoint)
    let observer = try #require(test.relay.observer)
    let firehose = try backend.accept()
    #expect(test.eventually { observer.firehoseState == .connected })
    #expect(observer.connectedFor != nil && !observer.isEnding)
    firehose.socket.reset()
    #expect(test.eventually { observer.firehoseState != .connected })
    #expect(observer.connectedFor == nil)
    test.relay.drain()
    #expect(observer.isEnding)
  }
}
