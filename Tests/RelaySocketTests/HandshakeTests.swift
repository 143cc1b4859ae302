import Glibc
import Testing
import Vectors
import VoltlaneWire

/// The client handshake as new clients speak it.
@Suite struct HandshakeTests {
  @Test(arguments: Layout.allCases)
  func `the bytes are those of the vectors`(_ layout: Layout) throws {
    let rig = try Rig(layout)
    let socket = try rig.test.connect()
    // The relay says nothing first.
    #expect(try socket.staysSilent())
    try socket.send(Vectors.shared["framed", "version_2"])
    #expect(try socket.receive(39) == [35, 0, 0, 0] + Vectors.shared["packets", "server_pubkey"])
    #expect(try socket.staysSilent())
    try socket.send(framed(Vectors.shared["packets", "client_pubkey_uncompressed"]))
    let id = try RawClient.receiveID(socket)
    #expect(try socket.staysSilent())
    // The backend hears of a client with its first packet only.
    #expect(try rig.firehose.socket.staysSilent())
    try socket.send(framed([7]))
    #expect(try rig.firehose.receive() == .data(id, [7]))
  }

  /// Everything that a client can send at once: version, key, and packets behind them, empty ones too.
  static let packets: [[UInt8]] = [[], [42], [], pattern(300), [], [9, 9]]
  static let everything = RawClient.hello + packets.flatMap(framed)

  @Test(arguments: Layout.allCases)
  func `version, key and data may come in one read`(_ layout: Layout) throws {
    let rig = try Rig(layout)
    let client = try RawClient(rig.test.connect(), followedBy: HandshakeTests.packets.flatMap(framed))
    for packet in HandshakeTests.packets { #expect(try rig.firehose.receive() == .data(client.id, packet)) }
    #expect(try rig.roundTrip(client))
  }

  @Test(arguments: Layout.allCases)
  func `megabytes may follow the key at once`(_ layout: Layout) throws {
    let rig = try Rig(layout)
    let packets = [pattern(1_000_000), [], pattern(70_000, 1), [1]]
    let client = try RawClient(rig.test.connect(), followedBy: packets.flatMap(framed))
    for packet in packets { #expect(try rig.firehose.receive() == .data(client.id, packet)) }
  }

  @Test func `it may be split at every byte`() throws {
    let rig = try Rig()
    let bytes = HandshakeTests.everything
    for split in 1..<(RawClient.hello.count + 12) {
      let socket = try rig.test.connect()
      try socket.send(pieces: [Array(bytes[..<split]), Array(bytes[split...])])
      let id = try RawClient.receiveAnswers(socket)
      for packet in HandshakeTests.packets { #expect(try rig.firehose.receive() == .data(id, packet)) }
      socket.reset()
      #expect(try rig.firehose.receive() == .failure(id, "stale timeout"))
    }
  }

  @Test(arguments: Layout.allCases)
  func `it may come byte by byte`(_ layout: Layout) throws {
    let rig = try Rig(layout)
    let socket = try rig.test.connect()
    try socket.send(pieces: HandshakeTests.everything.map { [$0] })
    let id = try RawClient.receiveAnswers(socket)
    for packet in HandshakeTests.packets { #expect(try rig.firehose.receive() == .data(id, packet)) }
  }

  @Test func `longer varints and bytes behind the fields are accepted`() throws {
    let rig = try Rig()
    let versions: [[UInt8]] = [
      [1, 251, 2, 0], [1, 252, 2, 0, 0, 0], [251, 1, 0, 2], [252, 1, 0, 0, 0, 252, 2, 0, 0, 0], [1, 2, 9, 9, 9],
      [1, 2] + [UInt8](repeating: 255, count: 254),
    ]
    let point = Vectors.shared["keys", "client_public_compressed"]
    let whole = Vectors.shared["keys", "client_public_uncompressed"]
    let keys: [[UInt8]] = [
      [251, 2, 0, 33] + point, [2, 251, 33, 0] + point, [2, 252, 33, 0, 0, 0] + point,
      [2, 253, 33, 0, 0, 0, 0, 0, 0, 0] + point, [2, 33] + point + pattern(200),
      [252, 2, 0, 0, 0, 253, 65, 0, 0, 0, 0, 0, 0, 0] + whole,
    ]
    for (version, key) in zip(versions, keys) {
      let socket = try rig.test.connect()
      try socket.send(framed(version) + framed(key) + framed([5]))
      let id = try RawClient.receiveAnswers(socket)
      #expect(try rig.firehose.receive() == .data(id, [5]))
    }
  }

  @Test(arguments: Layout.allCases)
  func `ids are distinct and not to be guessed from one another`(_ layout: Layout) throws {
    let rig = try Rig(layout)
    var ids: [UInt64] = []
    for round in 0..<200 {
      let client = try rig.test.client()
      ids.append(client.id)
      // Slots are used again, ids are not.
      if round % 3 == 0 {
        client.socket.reset()
        #expect(try rig.firehose.receive() == .failure(client.id, "stale timeout"))
      }
    }
    #expect(Set(ids).count == ids.count)
    // Neither a counter nor a counter with a constant mixed in: differences and exclusive-ors don't repeat.
    #expect(Set(zip(ids, ids.dropFirst()).map { $1 &- $0 }).count == ids.count - 1)
    #expect(Set(zip(ids, ids.dropFirst()).map { $1 ^ $0 }).count == ids.count - 1)
    // Every bit comes up both ways.
    #expect(ids.reduce(0, |) == .max)
    #expect(ids.reduce(.max, &) == 0)
  }

  @Test(arguments: Layout.allCases)
  func `clients that leave at any point of it leave nothing behind`(_ layout: Layout) throws {
    let rig = try Rig(layout)
    for count in 0...RawClient.hello.count {
      for resets in [true, false] {
        let socket = try rig.test.connect()
        try socket.send(Array(RawClient.hello[..<count]))
        if resets { socket.reset() } else { socket.close() }
      }
    }
    // Sessions of those that had sent all end as every other one.
    #expect(rig.test.eventually { rig.relay[.clientsAccepted] == UInt64(2 * RawClient.hello.count + 2) })
    #expect(rig.test.eventually { rig.relay[.sessionsStarted] == rig.relay[.sessionsEnded] })
    let client = try rig.test.client()
    while true {
      try client.send([1])
      let packet = try rig.firehose.receive()
      if packet == .data(client.id, [1]) { break }
      #expect(packet == .failure(packet.id, "stale timeout"))
    }
  }
}
