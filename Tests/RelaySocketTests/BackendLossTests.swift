import Glibc
import Relay
import Testing
import VoltlaneWire

/// The backend comes, goes and comes again; clients stay.
@Suite struct BackendLossTests {
  @Test(arguments: Layout.allCases)
  func `clients come before the backend does`(_ layout: Layout) throws {
    let backend = try RawBackend(isListening: false)
    let test = try TestRelay(layout, backend: backend.endpoint)
    let client = try test.client()
    for number in 0..<50 { try client.send(pattern(200, number)) }
    let gone = try test.client()
    try gone.send([1])
    gone.socket.reset()
    #expect(test.eventually { test.relay[.backendDialsFailed] > 2 })
    backend.listen()
    let firehose = try backend.accept()
    var left: [UInt64: [[UInt8]]] = [
      client.id: (0..<50).map { pattern(200, $0) }, gone.id: [[1], Array("stale timeout".utf8)],
    ]
    while !left.values.allSatisfy(\.isEmpty) {
      let packet = try firehose.receive()
      #expect(packet.data == left[packet.id]?.removeFirst())
    }
    try firehose.send(.data(client.id, [2]))
    #expect(try client.receive() == [2])
    #expect(test.eventually(.backendConnections, is: 1))
  }

  @Test(arguments: Layout.allCases)
  func `it dies and comes back, many times`(_ layout: Layout) throws {
    let backend = try RawBackend()
    let test = try TestRelay(layout, backend: backend.endpoint)
    let clients = try (0..<5).map { _ in try test.client() }
    for round in 0..<6 {
      let firehose = try backend.accept()
      for client in clients {
        let data = [UInt8(round), 7]
        try client.send(data)
        #expect(try firehose.receive() == .data(client.id, data))
        try firehose.send(.data(client.id, data))
        #expect(try client.receive() == data)
      }
      if round.isMultiple(of: 2) { firehose.socket.reset() } else { firehose.socket.close() }
    }
    #expect(test.relay[.sessionsEnded] == 0)
    #expect(test.eventually(.backendConnections, is: 6))
  }

  /// The backend's FIN is a loss: what came whole is delivered, what did not is dropped.
  @Test(arguments: Layout.allCases)
  func `whole packets before its FIN are delivered`(_ layout: Layout) throws {
    let rig = try Rig(layout)
    let client = try rig.test.client()
    let packets = (0..<200).map { pattern($0 * 31 % 4000, $0) }
    let unfinished = Tagged.data(client.id, pattern(90_000)).bytes.dropLast()
    try rig.firehose.socket.send(packets.flatMap { Tagged.data(client.id, $0).bytes } + unfinished)
    rig.firehose.socket.finish()
    for packet in packets { #expect(try client.receive() == packet) }
    let next = Rig(rig, firehose: try rig.backend.accept())
    #expect(try next.roundTrip(client))
    // The relay has left the old connection.
    #expect(try rig.firehose.socket.receiveToEnd().bytes == [])
  }

  /// What the old connection's kernel held is lost; what follows is a stretch of whole packets without a gap.
  @Test(arguments: Layout.allCases, [100, 20_000, 300_000])
  func `the new connection begins with a whole packet, the first not yet handed over`(
    _ layout: Layout, _ size: Int
  ) throws {
    let rig = try Rig(layout) {
      $0.maxPacketSize = 1 << 20
      $0.assemblyBudget = 64 << 20
    }
    let client = try rig.test.client()
    let count = 12_000_000 / (size + 4)
    let sender = Background {
      for number in 0..<count {
        try client.socket.send(framed(littleEndian(UInt64(number)) + pattern(size - 8, number)))
      }
    }
    // It reads a little, then stops until all is full, in the middle of some packet.
    _ = try rig.firehose.socket.receive(1_000_000)
    usleep(300_000)
    rig.firehose.socket.reset()
    let firehose = try rig.backend.accept()
    var next: Int?
    while next != count {
      let packet = try firehose.receive()
      let number = packet.data.prefix(8).enumerated().reduce(0) { $0 | Int($1.element) << (8 * $1.offset) }
      try #require(packet == .data(client.id, littleEndian(UInt64(number)) + pattern(size - 8, number)))
      try #require(next == nil || number == next)
      next = number + 1
    }
    try sender.join()
    #expect(rig.relay[.sessionsEnded] == 0)
  }

  /// It is not dialled again, and what it had not read holds up the end no longer.
  @Test(arguments: Layout.allCases)
  func `a relay that ends with its backend`(_ layout: Layout) throws {
    let rig = try Rig(layout) { $0.backendLoss = .exit }
    let client = try rig.test.client()
    // More than the lane and the sockets hold, so that the shard waits for room when the backend goes.
    let sender = Background { try client.socket.send(framed(pattern(4_000_000)) + framed(pattern(12_000_000))) }
    _ = try rig.firehose.socket.receive(1_000_000)
    rig.firehose.socket.reset()
    #expect(rig.test.eventually { rig.relay.isEndedByBackendLoss })
    rig.relay.drain()
    try? sender.join()
    client.socket.close()
    #expect(rig.test.finishes())
    #expect(rig.test.eventually(.backendConnections, is: 1))
    #expect(rig.relay[.backendDialsFailed] == 0)
  }

  /// A backend that starts anew is first told which clients it has, including those that are away.
  @Test(arguments: Layout.allCases)
  func `the next connection begins with the sweep`(_ layout: Layout) throws {
    let rig = try ReconnectionTests.rig(layout) { $0.announce = true }
    let clients = try (0..<10).map { _ in try rig.test.client() }
    clients[0].socket.reset()
    try rig.firehose.send(.kick(clients[1].id))
    #expect(try rig.firehose.receive() == .failure(clients[1].id, "kicked"))
    #expect(rig.test.eventually(.sessionsGoneStale, is: 1))
    rig.firehose.socket.reset()
    let next = Rig(rig, firehose: try rig.backend.accept())
    var announced: Set<UInt64> = []
    for _ in 0..<9 {
      let packet = try next.firehose.receive()
      #expect(packet == .reconnection(packet.id) && announced.insert(packet.id).inserted)
    }
    #expect(announced == Set(clients.map(\.id)).subtracting([clients[1].id]))
    for client in clients[2...] { #expect(try next.roundTrip(client)) }
  }

  @Test(arguments: Layout.allCases)
  func `sessions are dropped with the backend`(_ layout: Layout) throws {
    let rig = try ReconnectionTests.rig(layout) { $0.backendLoss = .drop }
    let client = try rig.test.client()
    let away = try rig.test.client()
    away.socket.reset()
    #expect(rig.test.eventually(.sessionsGoneStale, is: 1))
    rig.firehose.socket.reset()
    #expect(try client.socket.receiveToEnd() == ([], .fin))
    #expect(rig.test.eventually(.sessionsEnded, is: 2))
    let next = Rig(rig, firehose: try rig.backend.accept())
    for _ in 0..<2 {
      let packet = try next.firehose.receive()
      #expect(packet == .failure(packet.id, "backend lost") && [client.id, away.id].contains(packet.id))
    }
    #expect(try next.roundTrip(rig.test.client()))
    #expect(try rig.test.isOver(away.id))
  }

  /// Its session may be one of a shard that ended its own before it began: a FIN would say that it is over.
  @Test(arguments: Layout.allCases)
  func `who has yet to say which session they want is reset with the backend`(_ layout: Layout) throws {
    let rig = try Rig(layout) { $0.backendLoss = .drop }
    let socket = try rig.test.connect()
    try socket.send(RawClient.version)
    #expect(try socket.receive(RawClient.relayKey.count) == RawClient.relayKey)
    rig.firehose.socket.reset()
    #expect(try socket.receiveToEnd().end == .reset(ECONNRESET))
  }

  @Test func `a unix backend will do`() throws {
    let path = "/tmp/voltlane-backend-\(getpid()).sock"
    unlink(path)
    defer { unlink(path) }
    let backend = try RawBackend(.unix(path: path))
    let test = try TestRelay(.own, backend: backend.endpoint)
    let rig = Rig(backend: backend, test: test, firehose: try backend.accept())
    let client = try test.client()
    #expect(try rig.roundTrip(client, pattern(30_000)))
  }

  @Test func `a name that nobody knows is asked for again and again, and told of once`() throws {
    let test = try TestRelay(backend: .tcp(host: "no-such-host.invalid", port: 1))
    var unresolved = 0
    let client = try test.client()
    #expect(test.eventually { test.relay[.backendDialsFailed] > 3 })
    test.relay.takeEvents { if case .backendNotReached(.unresolved, _) = $0 { unresolved += 1 } }
    #expect(unresolved == 1)
    try client.send([1])
    #expect(test.relay[.sessionsEnded] == 0)
  }
}
