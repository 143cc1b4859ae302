import Testing
import VoltlaneClient
import VoltlaneCrypto
import VoltlaneNIO
import VoltlaneText
import VoltlaneWire

@Suite(.timeLimit(.minutes(10))) struct ClientHandshakeTests {
  @Test func saysVersionAndKeyAndLearnsItsID() async throws {
    let relay = try await FakeRelay.start()
    async let connecting = Client.connect(to: relay.listener.endpoint, options: patient)
    let peer = await relay.listener.accept()
    // Nothing of this waits for an answer.
    #expect(await peer.readPacket() == [1, 2])
    let key = try #require(await peer.readPacket())
    #expect(key.prefix(2) == [2, 33])
    _ = try PublicKey(sec1: key.span.bytes.extracting(2..<35))
    #expect(key.count == 35)
    try await peer.write(relay.greeting)
    let client = try await connecting
    #expect(client.clientID == FakeRelay.clientID)
    #expect(client.relayPublicKey == relay.key.compressed)
    #expect(client.remoteAddress == relay.listener.endpoint)
  }

  @Test func eachClientHasItsOwnKey() async throws {
    let relay = try await FakeRelay.start()
    var keys: [[UInt8]] = []
    for _ in 0..<2 {
      async let connecting = Client.connect(to: relay.listener.endpoint, options: patient)
      let peer = await relay.listener.accept()
      _ = await peer.readPacket()
      keys.append(try #require(await peer.readPacket()))
      try await peer.write(relay.greeting)
      _ = try await connecting
    }
    #expect(keys[0] != keys[1])
  }

  @Test func acceptsTheUncompressedKey() async throws {
    let listener = try await ByteListener.start()
    async let connecting = Client.connect(to: listener.endpoint, options: patient)
    let peer = await listener.accept()
    // The generator of secp256k1, and the small id in a longer form than it needs.
    let generator = [4] + generatorX + generatorY
    try await peer.write(framed([2, 65] + generator) + framed([3, 251, 7, 0]))
    let client = try await connecting
    #expect(client.relayPublicKey == [2] + generatorX)
    #expect(client.clientID == 7)
  }

  @Test func readsOneByteAtATimeAndThePacketsBehind() async throws {
    let relay = try await FakeRelay.start()
    async let connecting = Client.connect(to: relay.listener.endpoint, options: patient)
    let peer = await relay.listener.accept()
    try await peer.writeByteByByte(relay.greeting + framed([1, 2, 3]) + framed([]) + framed([4]))
    let client = try await connecting
    try await peer.finish()
    let (packets, error) = await collect(client.packets)
    #expect(packets == [[1, 2, 3], [], [4]])
    #expect(error == nil)
  }

  @Test func readsEverythingAtOnce() async throws {
    let relay = try await FakeRelay.start()
    async let connecting = Client.connect(to: relay.listener.endpoint, options: patient)
    let peer = await relay.listener.accept()
    // Packets may be larger than a handshake packet as soon as the id was sent.
    try await peer.write(relay.greeting + framed(pattern(1000)) + framed([]))
    try await peer.finish()
    let (packets, error) = await collect(try await connecting.packets)
    #expect(packets == [pattern(1000), []])
    #expect(error == nil)
  }

  @Test func overAUnixSocket() async throws {
    let path = "/tmp/voltlane-client-\(UInt64.random(in: 0 ... .max)).sock"
    let relay = try await FakeRelay.start(on: .unix(path: path))
    let (client, peer) = try await relay.connect()
    try await client.send([1, 2])
    #expect(await peer.readPacket() == [1, 2])
    #expect(client.remoteAddress == .unix(path: path))
  }

  static let refusals: [(name: String, bytes: [UInt8], error: ClientError)] = [
    ("empty packet", framed([]), .malformedHandshake(.truncated)),
    ("unknown kind", framed([6]), .malformedHandshake(.unknownKind(6))),
    ("kind as u64", framed([253, 0, 0, 0, 0, 0, 0, 0, 0]), .malformedHandshake(.invalidVarint(253))),
    ("short key", framed([2, 33, 2]), .malformedHandshake(.truncated)),
    ("key of 32 bytes", framed([2, 32]), .malformedHandshake(.invalidPublicKey(byteCount: 32, tag: nil))),
    ("packet of 257 bytes", [1, 1, 0, 0], .malformedHandshake(.tooLarge(byteCount: 257))),
    ("http", Array("HTTP/1.1 400".utf8), .malformedHandshake(.tooLarge(byteCount: 0x5054_5448))),
    ("id before the key", FramedHandshakePacket.clientID(1).bytes, .unexpectedHandshakePacket("client id")),
    ("ping", FramedHandshakePacket.ping.bytes, .unexpectedHandshakePacket("ping")),
    ("key off the curve", framed([2, 33, 2] + [UInt8](repeating: 255, count: 32)), .invalidRelayKey(.notOnCurve)),
  ]

  @Test(arguments: refusals.indices)
  func refuses(index: Int) async throws {
    let (name, bytes, error) = Self.refusals[index]
    let relay = try await FakeRelay.start()
    #expect(try await relay.refusal(sending: bytes) == error, "\(name)")
    // Byte by byte it is the same.
    #expect(try await relay.refusal(sending: []) { try? await $0.writeByteByByte(bytes) } == error, "\(name)")
  }

  @Test func aSecondKeyIsOutOfTurn() async throws {
    let relay = try await FakeRelay.start()
    let key = relay.key.withCompressed { FramedHandshakePacket.publicKey($0) }.bytes
    #expect(try await relay.refusal(sending: key + key) == .unexpectedHandshakePacket("public key"))
  }

  @Test func closedDuringTheHandshake() async throws {
    let relay = try await FakeRelay.start()
    #expect(try await relay.refusal(sending: []) { await $0.close() } == .closedDuringHandshake)
    let half = Array(relay.greeting.dropLast(5))
    #expect(try await relay.refusal(sending: half) { try await $0.finish() } == .closedDuringHandshake)
    #expect(try await relay.refusal(sending: half) { try await $0.reset() } == .closedDuringHandshake)
  }

  @Test func aSilentRelayTimesOut() async throws {
    // The kernel takes the connection; on a busy machine even that may come too late, which is the same to the caller.
    let listener = try await ByteListener.start()
    let timeout = Duration.milliseconds(30)
    await #expect(throws: ClientError.timeout(timeout)) {
      try await Client.connect(to: listener.endpoint, options: ClientOptions(connectTimeout: timeout))
    }
    await listener.stop()
  }

  @Test func nobodyListens() async throws {
    let listener = try await ByteListener.start()
    await listener.stop()
    await #expect(throws: ClientError.unreachable(listener.endpoint, reason: "connection refused")) {
      try await Client.connect(to: listener.endpoint)
    }
    let missing = Endpoint.unix(path: "/tmp/voltlane-nobody.sock")
    await #expect(throws: ClientError.unreachable(missing, reason: "no such file or directory")) {
      try await Client.connect(to: missing)
    }
    let long = Endpoint.unix(path: "/tmp/" + String(repeating: "x", count: 200))
    await #expect(throws: ClientError.unreachable(long, reason: "the path is too long for a unix socket")) {
      try await Client.connect(to: long)
    }
  }

  /// A relay that takes nobody in. Whichever call of the client's it is that runs into it, the error says so.
  @Test func closedAtOnce() async throws {
    let listener = try await ByteListener.start()
    for _ in 0..<50 {
      async let refusing: Void = listener.accept().reset()
      do {
        _ = try await Client.connect(to: listener.endpoint, options: patient)
        Issue.record("nobody shook hands")
      } catch {
        let errors = [.closedDuringHandshake, ClientError.unreachable(listener.endpoint, reason: "connection reset")]
        #expect(errors.contains(error), "\(error)")
      }
      try await refusing
    }
    await listener.stop()
  }

  @Test func cancellingGivesUp() async throws {
    let relay = try await FakeRelay.start()
    let connecting = Task { try await Client.connect(to: relay.listener.endpoint, options: patient) }
    let peer = await relay.listener.accept()
    _ = await peer.readPacket()
    connecting.cancel()
    await #expect(throws: ClientError.cancelled) { try await connecting.value }
    // The socket is closed as well: what is left of the client's words ends.
    _ = await peer.readToEnd()
  }
}

private let generatorX: [UInt8] = [
  0x79, 0xbe, 0x66, 0x7e, 0xf9, 0xdc, 0xbb, 0xac, 0x55, 0xa0, 0x62, 0x95, 0xce, 0x87, 0x0b, 0x07,
  0x02, 0x9b, 0xfc, 0xdb, 0x2d, 0xce, 0x28, 0xd9, 0x59, 0xf2, 0x81, 0x5b, 0x16, 0xf8, 0x17, 0x98,
]

private let generatorY: [UInt8] = [
  0x48, 0x3a, 0xda, 0x77, 0x26, 0xa3, 0xc4, 0x65, 0x5d, 0xa4, 0xfb, 0xfc, 0x0e, 0x11, 0x08, 0xa8,
  0xfd, 0x17, 0xb4, 0x48, 0xa6, 0x85, 0x54, 0x19, 0x9c, 0x47, 0xd0, 0x8f, 0xfb, 0x10, 0xd4, 0xb8,
]
