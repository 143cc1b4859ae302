import Glibc
import Relay
import Testing

/// What a gradual drain is made of: a relay that accepts nobody for a while, and clients that are let go one by one.
@Suite struct LettingGoTests {
  /// Lets these go, and waits until all of the shards have been told.
  private static func letGo(_ clients: [RawClient], _ rig: Rig) throws {
    var isOver = false
    rig.relay.end(clients.map(\.id), .relayDraining) { _ in isOver = true }
    try #require(
      rig.test.eventually {
        rig.relay.takeEvents { _ in }
        return isOver
      })
  }

  /// What a client had sent by then is read, however much that is, and what was sent to it arrives.
  @Test(arguments: Layout.allCases)
  func `a client that is let go loses no packet`(_ layout: Layout) throws {
    let rig = try Rig(layout) { $0.clientSendBuffer = 16 << 20 }
    let clients = try (0..<12).map { _ in try rig.test.client(receiveBuffer: 8192) }
    let others = try (0..<4).map { _ in try rig.test.client() }
    let down = (0..<20).map { pattern(30_000, $0) }
    for client in clients { for packet in down { try rig.firehose.send(.data(client.id, packet)) } }
    #expect(rig.test.eventually(.packetsDown, is: 240))
    let up = (0..<20).map { pattern(10_000, $0) }
    for client in clients { for packet in up { try client.send(packet) } }
    try Self.letGo(clients, rig)
    try rig.expectEnds(of: clients, up: up, down: down)
    // Nobody else notices.
    for client in others { #expect(try rig.roundTrip(client)) }
    #expect(rig.relay[.endedRelayDraining] == 12)
  }

  /// Everybody sends and is sent to as fast as it is heard, and roles may move meanwhile: whatever a client had sent
  /// before it was let go arrives, and whatever the backend sends arrives or is answered as too late.
  @Test(arguments: Layout.allCases + [.moving])
  func `a drain under load loses nothing that was accepted`(_ layout: Layout) throws {
    let rig = try Rig(layout)
    let load = try DrainLoad(rig, clients: 24)
    try #require(rig.test.eventually { load.isUnderWay(packets: 20) })
    rig.relay.stopAccepting()
    for first in stride(from: 0, to: 24, by: 3) { try load.letGo(first..<(first + 3)) }
    try load.check()
    rig.relay.drain()
    #expect(rig.test.eventually(.endedRelayDraining, is: 24))
  }

  // MARK: Accepting nobody

  @Test(arguments: Layout.allCases + [.moving])
  func `nobody gets in for a while, and everybody afterwards`(_ layout: Layout) throws {
    let rig = try Rig(layout)
    let old = try (0..<8).map { _ in try rig.test.client() }
    for _ in 0..<3 {
      rig.relay.stopAccepting()
      #expect(!rig.relay.accepts)
      for _ in 0..<20 { #expect(throws: SocketFailure.self) { try rig.test.connect() } }
      for client in old { #expect(try rig.roundTrip(client)) }
      try rig.relay.acceptAgain()
      #expect(rig.relay.accepts)
      // Each shard gets its share: all of them listen again.
      let new = try (0..<40).map { _ in try rig.test.client() }
      for client in new {
        #expect(try rig.roundTrip(client))
        client.socket.reset()
        #expect(try rig.firehose.receive() == .failure(client.id, "stale timeout"))
      }
    }
    rig.relay.stopAccepting()
    rig.relay.drain()
    for _ in old { #expect(String(decoding: try rig.firehose.receive().data, as: UTF8.self) == "relay draining") }
    #expect(try rig.firehose.socket.receiveToEnd() == ([], .fin))
    for client in old { client.socket.close() }
    rig.firehose.socket.close()
    #expect(rig.test.finishes())
    #expect(rig.relay[.acceptPauses] == 0)
  }

  /// What a shard hears of a drain once that has been taken back does not count.
  @Test(arguments: Layout.allCases)
  func `nobody is let go who is kept`(_ layout: Layout) throws {
    let rig = try Rig(layout)
    let clients = try (0..<12).map { _ in try rig.test.client() }
    rig.relay.letGo(clients.map(\.id))
    // Answered after it, by all shards: what ends sessions goes first.
    var listed = 0
    var isOver = false
    rig.relay.ask(.clients(ClientFilter())) { _ in
      listed += 1
    } finished: { _ in
      isOver = true
    }
    try #require(
      rig.test.eventually {
        rig.relay.takeEvents { _ in }
        return isOver
      })
    #expect(listed == 12)
    for client in clients { #expect(try rig.roundTrip(client)) }
    rig.relay.stopAccepting()
    rig.relay.letGo(clients.prefix(4).map(\.id))
    #expect(
      rig.test.eventually {
        rig.relay.takeEvents { _ in }
        return rig.relay[.endedRelayDraining] == 4
      })
    #expect(rig.relay[.sessionsEnded] == 4)
  }

  /// The path is gone meanwhile, as it is for whoever comes when the relay has ended, and is there again afterwards.
  @Test(arguments: Layout.allCases + [.moving])
  func `a unix listener lets nobody in either`(_ layout: Layout) throws {
    let path = "/tmp/voltlane-test-\(getpid())-\(UInt32.random(in: 0 ... .max))"
    let backend = try RawBackend()
    let test = try TestRelay(layout, listeners: [.unix(path: path)], backend: backend.endpoint)
    let rig = Rig(backend: backend, test: test, firehose: try backend.accept())
    let old = try test.client()
    for _ in 0..<3 {
      test.relay.stopAccepting()
      #expect(access(path, F_OK) != 0)
      for _ in 0..<20 { #expect(throws: SocketFailure.self) { try test.connect() } }
      #expect(try rig.roundTrip(old))
      try test.relay.acceptAgain()
      let new = try (0..<8).map { _ in try test.client() }
      for client in new {
        #expect(try rig.roundTrip(client))
        client.socket.reset()
        #expect(try rig.firehose.receive() == .failure(client.id, "stale timeout"))
      }
    }
    #expect(rig.relay[.acceptPauses] == 0)
  }

  /// A successor may take the path, too, and keeps it.
  @Test func `a successor may listen on the same path`() throws {
    let path = "/tmp/voltlane-test-\(getpid())-\(UInt32.random(in: 0 ... .max))"
    let backend = try RawBackend()
    let test = try TestRelay(.own, listeners: [.unix(path: path)], backend: backend.endpoint)
    let rig = Rig(backend: backend, test: test, firehose: try backend.accept())
    let old = try test.client()
    rig.relay.stopAccepting()
    let successor = try TestRelay(.own, listeners: [.unix(path: path)], backend: backend.endpoint)
    let firehose = try backend.accept()
    #expect(throws: RelayError.self) { try rig.relay.acceptAgain() }
    #expect(!rig.relay.accepts)
    #expect(try rig.roundTrip(old))
    rig.relay.drain()
    let new = try successor.client()
    try new.send([7])
    #expect(try firehose.receive() == .data(new.id, [7]))
    #expect(access(path, F_OK) == 0)
  }

  /// Of several that drain, each keeps a file of its own.
  @Test func `the first of two that drain listens again`() throws {
    let path = "/tmp/voltlane-test-\(getpid())-\(UInt32.random(in: 0 ... .max))"
    let backend = try RawBackend()
    let test = try TestRelay(.own, listeners: [.unix(path: path)], backend: backend.endpoint)
    let rig = Rig(backend: backend, test: test, firehose: try backend.accept())
    rig.relay.stopAccepting()
    let successor = try TestRelay(.own, listeners: [.unix(path: path)], backend: backend.endpoint)
    let firehose = try backend.accept()
    successor.relay.stopAccepting()
    try rig.relay.acceptAgain()
    #expect(try rig.roundTrip(test.client()))
    #expect(throws: RelayError.self) { try successor.relay.acceptAgain() }
    firehose.socket.close()
  }

  /// A successor may take the port meanwhile; then there is no way back.
  @Test(arguments: Layout.allCases)
  func `a successor may listen, and then keeps the port`(_ layout: Layout) throws {
    let rig = try Rig(layout)
    let old = try rig.test.client()
    rig.relay.stopAccepting()
    let backend = try RawBackend()
    let successor = try TestRelay(.own, listeners: [rig.test.endpoint], backend: backend.endpoint)
    let firehose = try backend.accept()
    let new = try successor.client()
    try new.send([7])
    #expect(try firehose.receive() == .data(new.id, [7]))
    #expect(throws: RelayError.self) { try rig.relay.acceptAgain() }
    #expect(!rig.relay.accepts)
    // All newcomers are the successor's.
    let others = try (0..<20).map { _ in try successor.client() }
    #expect(successor.relay[.sessionsStarted] == UInt64(others.count) + 1)
    #expect(try rig.roundTrip(old))
  }
}
