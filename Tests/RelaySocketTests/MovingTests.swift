import Glibc
import Testing

@testable import Relay

/// Roles that move between the threads of a running relay, over real rings and sockets. ``SoakTests`` have it too.
@Suite struct MovingTests {
  /// Enough clients that every shard has some.
  private static let clients = 24

  @Test func `packets go on both ways, whatever moves where`() throws {
    let rig = try Rig(.own) { $0.staleTimeout = .seconds(60) }
    let relay = rig.relay
    let clients = try (0..<Self.clients).map { _ in try rig.test.client() }
    // Both shards onto one thread, the firehose to them, all of them to the firehose's, and back again.
    let moves = [(1, 0), (2, 0), (0, 2), (1, 2), (2, 2), (0, 0), (1, 1), (2, 1), (0, 1)]
    for (role, host) in moves {
      relay.move(role: role, to: host)
      for client in clients { #expect(try rig.roundTrip(client)) }
      #expect(rig.test.eventually { relay.isSettled })
      for client in clients { #expect(try rig.roundTrip(client, pattern(5000))) }
    }
    #expect(relay[.rolesMoved] == UInt64(moves.count))
    #expect(relay.hosting.map(\.roles) == [[], ["shard 0", "shard 1", "firehose"], []])
    #expect(relay[.sessionsEnded] == 0 && relay[.sessionsGoneStale] == 0)
    // Whoever connects now is accepted where the shards are.
    #expect(try rig.roundTrip(rig.test.client()))
  }

  @Test func `a thread that is watched notes its sleeps`() throws {
    let rig = try Rig(.shared)
    let client = try rig.test.client()
    #expect(try rig.roundTrip(client))
    for meter in rig.relay.meters { meter.isWatched = true }
    let start = Relay.now
    #expect(try rig.test.eventually { try rig.roundTrip(client) && rig.relay.meters[0].slept(by: Relay.now) > 0 })
    let slept = rig.relay.meters[0].slept(by: Relay.now)
    #expect(slept <= Relay.now - start)
    // What a thread had of a CPU is told without a file.
    #expect(rig.relay.meters[0].times.cpu > 0)
  }

  @Test func `what waits for a client goes along`() throws {
    let rig = try Rig(.own)
    let client = try rig.test.client(receiveBuffer: 4096)
    let data = pattern(4 << 20)
    try rig.firehose.send(.data(client.id, data))
    let sessions = rig.relay[.sessionsStarted]
    for host in [2, 1, 0, 2] {
      for shard in 0...1 {
        rig.relay.move(role: shard, to: host)
        #expect(rig.test.eventually { rig.relay.isSettled })
      }
    }
    #expect(try client.receive() == data)
    #expect(try rig.roundTrip(client))
    #expect(rig.relay[.sessionsStarted] == sessions)
  }

  @Test func `a thousand clients go along`() throws {
    let rig = try Rig(.own) { $0.protection.acceptRatePerAddress = nil }
    let clients = try (0..<1000).map { _ in try rig.test.client() }
    for host in [2, 0, 1] {
      for shard in 0...1 {
        rig.relay.move(role: shard, to: host)
        #expect(rig.test.eventually { rig.relay.isSettled })
        for client in clients.indices where client % 7 == host { #expect(try rig.roundTrip(clients[client])) }
      }
    }
    for client in clients { client.socket.reset() }
    #expect(rig.test.eventually(.sessionsEnded, is: 1000))
  }

  /// Whatever is just on its way when the relay is told to end.
  @Test(arguments: 0..<8)
  func `the relay ends while roles move`(_ round: Int) throws {
    let rig = try Rig(.own)
    let clients = try (0..<Self.clients).map { _ in try rig.test.client() }
    for client in clients { try client.send([UInt8(round)]) }
    rig.relay.move(role: round % 3, to: (round + 1) % 3)
    if round % 2 == 0 {
      rig.relay.drain()
      var received: [Tagged] = []
      while received.count < 2 * Self.clients { received.append(try rig.firehose.receive()) }
      for client in clients {
        let own = received.filter { $0.id == client.id }
        #expect(own == [.data(client.id, [UInt8(round)]), .failure(client.id, "relay draining")])
      }
      rig.firehose.socket.close()
      #expect(rig.test.finishes())
    }
    rig.relay.stop()
    // Nobody's socket is left open, wherever its shard was.
    for client in clients { _ = try client.socket.receiveToEnd() }
  }

  /// In a process of its own, whose descriptors are those of these relays.
  @Test func `a relay that stops while roles move leaves no socket open`() async {
    await #expect(processExitsWith: .success) {
      var before: Int?
      for _ in 0..<60 {
        do {
          let rig = try Rig(.moving)
          let clients = try (0..<4).map { _ in try rig.test.client() }
          // At any time in a move: the mover is never at rest.
          usleep(UInt32.random(in: 0...2000))
          rig.relay.stop()
          for client in clients { _ = try client.socket.receiveToEnd() }
        }
        let now = SocketCalls.descriptors.count
        try #require(now <= before ?? .max, "\(now) descriptors are open, \(before ?? 0) were")
        before = before ?? now
      }
    }
  }
}
