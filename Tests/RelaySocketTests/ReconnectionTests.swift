import Glibc
import Relay
import Testing
import VoltlaneCrypto
import VoltlaneWire

/// Clients that lose their connections and come back, over the kernel's own TCP.
@Suite struct ReconnectionTests {
  /// A rig in which sessions outlive their sockets.
  static func rig(_ layout: Layout, configure: (inout RelayConfiguration) -> Void = { _ in }) throws -> Rig {
    try Rig(layout) {
      $0.staleTimeout = .seconds(300)
      configure(&$0)
    }
  }

  // MARK: Last words

  /// Response, ping, data and the end in one piece, and the same for new clients: what came before the FIN is
  /// delivered, whether the socket is closed or only its sending side, over TCP and over a unix socket, which says at
  /// once that nobody listens any more.
  @Test(arguments: Layout.allCases, [false, true])
  func `what is said before the end arrives`(_ layout: Layout, overUnixSocket: Bool) throws {
    let rig = try Self.rig(layout) {
      if overUnixSocket { $0.listeners = [.unix(path: "/tmp/voltlane-words-\(getpid())-\(layout).sock")] }
    }
    let words = framed([9]) + framed(pattern(300)) + framed([])
    for round in 0..<20 {
      let closes = round % 2 == 0
      // A close alone would be a reset where something of the relay's has come and was not read.
      func end(_ socket: RawSocket) {
        socket.finish()
        if closes { socket.close() }
      }
      let client = try rig.test.client()
      client.socket.reset()
      #expect(rig.test.eventually(.sessionsGoneStale, is: UInt64(3 * round + 1)))
      try rig.firehose.send(.data(client.id, [1]), .data(client.id, [2]))
      let comeback = try Comeback(rig.test.connect(), client.id)
      try comeback.answer(followedBy: words)
      end(comeback.socket)
      #expect(try rig.firehose.receive() == .reconnection(client.id))
      #expect(try rig.firehose.receive() == .data(client.id, [9]))
      #expect(try rig.firehose.receive() == .data(client.id, pattern(300)))
      #expect(try rig.firehose.receive() == .data(client.id, []))
      let newcomer = try rig.test.connect()
      try newcomer.send(RawClient.hello + words)
      end(newcomer)
      for packet in [[9], pattern(300), []] { #expect(try rig.firehose.receive().data == packet) }
      comeback.socket.close()
      newcomer.close()
      #expect(rig.test.eventually(.sessionsGoneStale, is: UInt64(3 * round + 3)))
    }
  }

  // MARK: Missed packets

  /// Again and again: the connections land on either shard.
  @Test(arguments: Layout.allCases)
  func `after a reset it gets what it missed, then live data`(_ layout: Layout) throws {
    let rig = try Self.rig(layout)
    var client = try rig.test.client()
    #expect(try rig.roundTrip(client))
    for round in 0..<30 {
      client.socket.reset()
      #expect(rig.test.eventually(.sessionsGoneStale, is: UInt64(round + 1)))
      let missed = (0..<20).map { pattern($0 * $0 * 5, round) }
      for packet in missed { try rig.firehose.send(.data(client.id, packet)) }
      client = try rig.test.comeBack(client.id, followedBy: framed([9]) + framed([]))
      for packet in missed { #expect(try client.receive() == packet) }
      #expect(try rig.firehose.receive() == .reconnection(client.id))
      #expect(try rig.firehose.receive() == .data(client.id, [9]))
      #expect(try rig.firehose.receive() == .data(client.id, []))
      #expect(try rig.roundTrip(client))
    }
    #expect(rig.test.eventually(.reconnections, is: 30))
    #expect(rig.relay[.sessionsEnded] == 0)
  }

  /// Live data follow the missed packets although the backend sends while the client shakes hands.
  @Test(arguments: Layout.allCases)
  func `what comes during the handshake follows in order`(_ layout: Layout) throws {
    let rig = try Self.rig(layout) { $0.missedPacketsBuffer = 64 << 20 }
    var client = try rig.test.client()
    client.socket.reset()
    let count = 20_000
    let id = client.id
    let sender = Background {
      for number in 0..<count { try rig.firehose.send(.data(id, littleEndian(UInt64(number)) + pattern(90, number))) }
    }
    client = try rig.test.comeBack(id)
    for number in 0..<count {
      try #require(try client.receive() == littleEndian(UInt64(number)) + pattern(90, number))
    }
    try sender.join()
    #expect(try rig.firehose.receive() == .reconnection(id))
  }

  /// Packets that the socket had not taken whole come whole on the new one; there is no gap among them.
  @Test(arguments: Layout.allCases)
  func `what a slow client's socket did not take is not lost`(_ layout: Layout) throws {
    let rig = try Self.rig(layout) {
      $0.clientSendBuffer = 64 << 20
      $0.missedPacketsBuffer = 64 << 20
    }
    var client = try rig.test.client(receiveBuffer: 4096)
    let packets = (0..<200).map { littleEndian(UInt64($0)) + pattern(50_000, $0) }
    for packet in packets { try rig.firehose.send(.data(client.id, packet)) }
    let first = try client.receive()
    #expect(first == packets[0])
    // All are in the relay or in its socket now: an answer stands behind them.
    try rig.firehose.send(.data(1, []))
    #expect(try rig.firehose.receive() == .failure(1, "unknown client"))
    client.socket.reset()
    #expect(rig.test.eventually(.sessionsGoneStale, is: 1))
    client = try rig.test.comeBack(client.id)
    // What the old socket's kernel had taken is lost.
    let next = try client.receive()
    let number = Int(next.bytes[0])
    #expect(number > 1 && number < 190)
    #expect(next == packets[number])
    for packet in packets[(number + 1)...] { #expect(try client.receive() == packet) }
    #expect(try client.socket.staysSilent())
  }

  @Test(arguments: Layout.allCases)
  func `data in pieces behind the ping arrive whole`(_ layout: Layout) throws {
    let rig = try Self.rig(layout)
    let first = try rig.test.client()
    first.socket.reset()
    let back = try Comeback(rig.test.connect(), first.id)
    let data = framed(pattern(3000)) + framed([1]) + framed(pattern(70_000))
    try back.socket.send(
      pieces: (back.response() + FramedHandshakePacket.ping.bytes + data).chunks([1, 5, 70, 3, 1, 1, 2, 900, 2200, 3]))
    #expect(try back.socket.receivePacket() == [0])
    #expect(try rig.firehose.receive() == .reconnection(first.id))
    #expect(try rig.firehose.receive() == .data(first.id, pattern(3000)))
    #expect(try rig.firehose.receive() == .data(first.id, [1]))
    #expect(try rig.firehose.receive() == .data(first.id, pattern(70_000)))
  }

  // MARK: FIN

  /// The client's kernel takes what fits into its buffer and acknowledges that; the rest comes on the new connection,
  /// to the byte.
  @Test(arguments: Layout.allCases)
  func `after a FIN the packets that were not acknowledged are missed packets`(_ layout: Layout) throws {
    let rig = try Self.rig(layout)
    let others = try (0..<8).map { _ in try rig.test.client() }
    for size in [100, 3000, 60_000] {
      let client = try rig.test.client(receiveBuffer: 4096)
      let relaySide = try #require(SocketCalls.otherEnd(client.socket.descriptor))
      client.socket.finish()
      // What was sent later is read later, on whichever shard: the FIN has been read.
      for other in others { #expect(try rig.roundTrip(other)) }
      let packets = (0..<(400_000 / size)).map { pattern(size, $0) }
      for packet in packets { try rig.firehose.send(.data(client.id, packet)) }
      for other in others { #expect(try rig.roundTrip(other)) }
      // Until the client's kernel has no room and has acknowledged what it took.
      var unacknowledged = -1
      #expect(
        rig.test.eventually {
          defer { usleep(300_000) }
          defer { unacknowledged = SocketCalls.unacknowledged(relaySide) }
          return unacknowledged == SocketCalls.unacknowledged(relaySide)
        })
      let acknowledged = SocketCalls.unread(client.socket.descriptor)
      client.socket.reset()
      let back = try rig.test.comeBack(client.id)
      for packet in packets.dropFirst(acknowledged / (size + 4)) { #expect(try back.receive() == packet) }
      #expect(try back.socket.staysSilent())
      #expect(try rig.firehose.receive() == .reconnection(client.id))
    }
    #expect(rig.relay[.sessionsEnded] == 0)
  }

  /// It closed, and was not there for the answers: they are waiting when it comes back.
  @Test(arguments: Layout.allCases)
  func `a client that closed misses nothing that came later`(_ layout: Layout) throws {
    let rig = try Self.rig(layout)
    let others = try (0..<8).map { _ in try rig.test.client() }
    for round in 0..<20 {
      let client = try rig.test.client()
      try client.send([1])
      client.socket.close()
      #expect(try rig.firehose.receive() == .data(client.id, [1]))
      // What was sent later is read later, on whichever shard: the FIN has been read.
      if round.isMultiple(of: 2) { for other in others { #expect(try rig.roundTrip(other)) } }
      let packets = (0..<10).map { pattern(100 * $0, $0) }
      for packet in packets { try rig.firehose.send(.data(client.id, packet)) }
      let back = try rig.test.comeBack(client.id)
      if round.isMultiple(of: 2) {
        for packet in packets { #expect(try back.receive() == packet) }
        #expect(try back.socket.staysSilent(milliseconds: 10))
      }
      #expect(try rig.firehose.receive() == .reconnection(client.id))
    }
  }

  @Test(arguments: Layout.allCases)
  func `a half-closed session goes stale after its time, and is taken up again`(_ layout: Layout) throws {
    let rig = try Self.rig(layout) { $0.halfCloseTimeout = .milliseconds(300) }
    let client = try rig.test.client()
    client.socket.finish()
    #expect(rig.test.eventually(.sessionsGoneStale, is: 1))
    #expect(try client.socket.receiveToEnd() == ([], .reset(ECONNRESET)))
    try rig.firehose.send(.data(client.id, [1]))
    let back = try rig.test.comeBack(client.id)
    #expect(try back.receive() == [1])
    #expect(try rig.firehose.receive() == .reconnection(client.id))
    #expect(try rig.roundTrip(back))
  }

  @Test(arguments: Layout.allCases)
  func `a half-closed session is taken over with what was not acknowledged`(_ layout: Layout) throws {
    let rig = try Self.rig(layout)
    let others = try (0..<8).map { _ in try rig.test.client() }
    let client = try rig.test.client(receiveBuffer: 4096)
    client.socket.finish()
    for other in others { #expect(try rig.roundTrip(other)) }
    let packets = (0..<100).map { pattern(3000, $0) }
    for packet in packets { try rig.firehose.send(.data(client.id, packet)) }
    for other in others { #expect(try rig.roundTrip(other)) }
    let back = try rig.test.comeBack(client.id)
    let first = try back.receive()
    let number = try #require(packets.firstIndex { first == $0 })
    for packet in packets[(number + 1)...] { #expect(try back.receive() == packet) }
    #expect(try back.socket.staysSilent())
    // The old socket is reset. What had come there and what the new one brought join without a gap; of what the kernel
    // had taken a part may not have been acknowledged.
    let old = try client.socket.receiveToEnd()
    #expect(old.end == .reset(ECONNRESET))
    #expect(number <= old.bytes.count / 3004)
    #expect(old.bytes.count < 10 * 3004)
    #expect(try rig.firehose.receive() == .reconnection(client.id))
    #expect(try rig.roundTrip(back))
  }

  /// A Unix socket knows no acknowledgements: what its kernel had taken counts as delivered.
  @Test func `over a unix socket nothing comes twice`() throws {
    let path = "/tmp/voltlane-comeback-\(getpid()).sock"
    defer { unlink(path) }
    let backend = try RawBackend()
    let test = try TestRelay(listeners: [.unix(path: path)], backend: backend.endpoint) {
      $0.staleTimeout = .seconds(300)
    }
    let rig = Rig(backend: backend, test: test, firehose: try backend.accept())
    let other = try rig.test.client()
    let client = try rig.test.client()
    client.socket.finish()
    #expect(try rig.roundTrip(other))
    for number in 0..<10 {
      try rig.firehose.send(.data(client.id, pattern(5, number)))
      #expect(try rig.roundTrip(other))
      if number < 9 { #expect(try client.receive() == pattern(5, number)) }
    }
    let back = try rig.test.comeBack(client.id)
    #expect(try client.socket.receiveToEnd() == (framed(pattern(5, 9)), .fin))
    #expect(try back.socket.staysSilent())
    #expect(try rig.firehose.receive() == .reconnection(client.id))
    #expect(try rig.roundTrip(back))
  }

  // MARK: Takeover

  @Test(arguments: Layout.allCases)
  func `a connection that still looks alive is taken over`(_ layout: Layout) throws {
    let rig = try Self.rig(layout)
    var client = try rig.test.client()
    for _ in 0..<20 {
      #expect(try rig.roundTrip(client))
      try client.send([4])
      #expect(try rig.firehose.receive() == .data(client.id, [4]))
      let back = try rig.test.comeBack(client.id, followedBy: framed([5]))
      #expect(try client.socket.receiveToEnd().bytes == [])
      #expect(try rig.firehose.receive() == .reconnection(client.id))
      #expect(try rig.firehose.receive() == .data(client.id, [5]))
      client = back
    }
    #expect(rig.relay[.sessionsGoneStale] == 0)
    #expect(rig.relay[.sessionsEnded] == 0)
  }

  /// The old connection's packets, a stretch without a gap, then the 0x03, then the new one's and nothing else.
  @Test(arguments: Layout.allCases)
  func `nothing of the old connection comes after the 0x03`(_ layout: Layout) throws {
    let rig = try Self.rig(layout)
    for round in 0..<10 {
      let client = try rig.test.client()
      let sender = Background {
        for number in 0... {
          guard (try? client.socket.send(framed([0] + littleEndian(UInt64(number))))) != nil else { return }
        }
      }
      let back = try Comeback(rig.test.connect(), client.id)
      var received = 0
      let answerer = Background {
        try back.answer(followedBy: (0..<100).flatMap { framed([1] + littleEndian(UInt64($0))) })
      }
      var packet = try rig.firehose.receive()
      while packet.flag == 0 {
        try #require(packet == .data(client.id, [0] + littleEndian(UInt64(received))))
        received += 1
        packet = try rig.firehose.receive()
      }
      #expect(packet == .reconnection(client.id))
      for number in 0..<100 {
        try #require(try rig.firehose.receive() == .data(client.id, [1] + littleEndian(UInt64(number))))
      }
      try answerer.join()
      try sender.join()
      #expect(try back.socket.receivePacket() == [0])
      try rig.firehose.send(.kick(client.id))
      #expect(try rig.firehose.receive() == .failure(client.id, "kicked"), "round \(round)")
      #expect(try back.socket.receiveToEnd() == ([], .fin))
    }
  }

  /// The packet of which the old socket took a part comes whole, and all behind it.
  @Test(arguments: Layout.allCases)
  func `a taken over client that did not read misses only what its kernel had taken`(_ layout: Layout) throws {
    let rig = try Self.rig(layout) { $0.clientSendBuffer = 64 << 20 }
    let client = try rig.test.client(receiveBuffer: 4096)
    let packets = (0..<200).map { littleEndian(UInt64($0)) + pattern(50_000, $0) }
    for packet in packets { try rig.firehose.send(.data(client.id, packet)) }
    try rig.firehose.send(.data(1, []))
    #expect(try rig.firehose.receive() == .failure(1, "unknown client"))
    let back = try rig.test.comeBack(client.id)
    let next = try back.receive()
    let number = Int(next.bytes[0])
    #expect(number > 1 && number < 190)
    #expect(next == packets[number])
    for packet in packets[(number + 1)...] { #expect(try back.receive() == packet) }
    #expect(try back.socket.staysSilent())
  }

  // MARK: The end

  @Test(arguments: Layout.allCases)
  func `an id that is not a session is closed in order, without a challenge`(_ layout: Layout) throws {
    let rig = try Self.rig(layout)
    let client = try rig.test.client()
    for id in [0, 1, 250, 65_536, UInt64.max, client.id ^ 1, client.id &+ 1, client.id ^ 1 << 63] {
      #expect(try rig.test.isOver(id))
    }
    #expect(try !Comeback(rig.test.connect(), client.id).challenge.isEmpty)
    try rig.firehose.send(.data(client.id, [1]), .kick(client.id))
    #expect(try rig.firehose.receive() == .failure(client.id, "kicked"))
    for _ in 0..<10 { #expect(try rig.test.isOver(client.id)) }
    #expect(try client.receive() == [1])
  }

  @Test(arguments: Layout.allCases)
  func `a stale session that is kicked is over`(_ layout: Layout) throws {
    let rig = try Self.rig(layout)
    let client = try rig.test.client()
    client.socket.reset()
    #expect(rig.test.eventually(.sessionsGoneStale, is: 1))
    let attempt = try Comeback(rig.test.connect(), client.id)
    try rig.firehose.send(.data(client.id, [1]), .kick(client.id), .data(client.id, [2]))
    #expect(try rig.firehose.receive() == .failure(client.id, "kicked"))
    #expect(try rig.firehose.receive() == .failure(client.id, "unknown client"))
    // Its attempts end with it, and the owner's key opens it no longer.
    #expect(try attempt.socket.receiveToEnd() == ([], .fin))
    #expect(try rig.test.isOver(client.id))
  }

  @Test(arguments: Layout.allCases)
  func `without a stale timeout a session ends with its socket`(_ layout: Layout) throws {
    let rig = try Rig(layout) { $0.staleTimeout = .zero }
    let client = try rig.test.client()
    client.socket.reset()
    #expect(try rig.firehose.receive() == .failure(client.id, "stale timeout"))
    #expect(try rig.test.isOver(client.id))
    #expect(rig.relay[.sessionsGoneStale] == 0)
  }

  @Test(arguments: Layout.allCases)
  func `a stale session ends at its time though it is attempted`(_ layout: Layout) throws {
    let rig = try Rig(layout) { $0.staleTimeout = .seconds(1) }
    let client = try rig.test.client()
    client.socket.reset()
    let attempt = try Comeback(rig.test.connect(), client.id)
    #expect(try rig.firehose.receive() == .failure(client.id, "stale timeout"))
    #expect(try attempt.socket.receiveToEnd() == ([], .fin))
    #expect(try rig.test.isOver(client.id))
  }
}

extension Array where Element == UInt8 {
  /// Pieces of these sizes, then the rest.
  fileprivate func chunks(_ sizes: [Int]) -> [[UInt8]] {
    var rest = self[...]
    var pieces: [[UInt8]] = []
    for size in sizes {
      pieces.append(Array(rest.prefix(size)))
      rest = rest.dropFirst(size)
    }
    return pieces + [Array(rest)]
  }
}
