import NIOCore
import Testing
import VoltlaneCrypto
import VoltlaneNIO
import VoltlaneWire

@testable import VoltlaneClient

/// The way back to a relay that keeps the session.
@Suite(.timeLimit(.minutes(10))) struct ReconnectionTests {
  @Test func comesBackAsTheSameClient() async throws {
    let relay = try await FakeRelay.start()
    let (client, old, key) = try await relay.connect(persistent, pacing: TestPacing().pacing)
    var states = client.states.makeAsyncIterator()
    #expect(await states.next() == .connected)
    try await old.reset()
    let new = try await relay.takeBack(key, behind: framed([1]) + framed([]) + framed([2]))
    try await new.write(framed([3]))
    #expect(
      await states.next() == .reconnecting(attempt: 1, cause: .connectionLost(reason: "connection reset")))
    #expect(await states.next() == .reconnected)
    #expect(client.state == .reconnected)
    var packets = client.packets.makeAsyncIterator()
    // What the relay kept, then what is new.
    for packet: [UInt8] in [[1], [], [2], [3]] { #expect(try await packets.next() == ByteBuffer(bytes: packet)) }
    try await client.send([4])
    #expect(await new.readPacket() == [4])
    #expect(client.clientID == FakeRelay.clientID)
    #expect(client.remoteAddress == relay.listener.endpoint)
    await client.close()
  }

  @Test func againAndAgain() async throws {
    let relay = try await FakeRelay.start()
    var (client, peer, key) = try await relay.connect(persistent, pacing: TestPacing().pacing)
    for round in UInt8(0)..<20 {
      // Every other time the relay closes, as a relay does whose client comes back elsewhere.
      if round.isMultiple(of: 2) { try await peer.reset() } else { await peer.close() }
      peer = try await relay.takeBack(key, behind: framed([round]))
      try await client.send([round])
      #expect(await peer.readPacket() == [round])
    }
    var packets = client.packets.makeAsyncIterator()
    for round in UInt8(0)..<20 { #expect(try await packets.next() == ByteBuffer(bytes: [round])) }
    await client.close()
  }

  @Test func oneByteAtATime() async throws {
    let relay = try await FakeRelay.start()
    let (client, old, key) = try await relay.connect(persistent, pacing: TestPacing().pacing)
    try await old.reset()
    _ = try await relay.takeBack(key, behind: framed([1, 2]) + framed([3])) { try await $0.writeByteByByte($1) }
    var packets = client.packets.makeAsyncIterator()
    #expect(try await packets.next() == ByteBuffer(bytes: [1, 2]))
    #expect(try await packets.next() == ByteBuffer(bytes: [3]))
    await client.close()
  }

  /// No sockets: all that the relay says, cut at every place.
  @Test func everyCutOfTheStream() async throws {
    let relaySecret = try SecretKey.generate()
    let secret = try SecretKey.generate()
    let key = secret.sessionKey(with: relaySecret.publicKey)
    let identity = Identity(clientID: 1 << 40, relayKey: relaySecret.publicKey)
    let challenge = Challenge(relaySecret.sessionKey(with: secret.publicKey))
    let stream =
      relaySecret.publicKey.withCompressed { FramedHandshakePacket.publicKey($0) }.bytes + challenge.packet
      + FramedHandshakePacket.ping.bytes + framed([1, 2, 3]) + framed([]) + framed(pattern(300))
    for cut in 0...stream.count {
      let relay = try await TestChannel(handshake: Handshake(returning: identity, sessionKey: key))
      try await relay.send(Array(stream[..<cut]))
      try await relay.send(Array(stream[cut...]))
      #expect(try await relay.opened.get().identity == identity)
      let beginning = framed([1, 2]) + FramedHandshakePacket.clientID(identity.clientID).bytes
      let said = try await relay.said()
      #expect(Array(said.prefix(beginning.count)) == beginning)
      let answer = Array(said.dropFirst(beginning.count))
      challenge.check(response: Array(answer.dropFirst(4).prefix(74)))
      #expect(Array(answer.dropFirst(78)) == framed([0]))
      _ = try await relay.channel.finish()
      relay.inbox.finish()
      var packets: [[UInt8]] = []
      while let packet = try await relay.inbox.next() { packets.append(Array(buffer: packet)) }
      #expect(packets == [[1, 2, 3], [], pattern(300)], "cut at \(cut)")
    }
  }

  /// A nonce must never be used twice with a key.
  @Test func eachResponseHasItsOwnNonce() async throws {
    let key = try SecretKey.generate().sessionKey(with: SecretKey.generate().publicKey)
    let relayKey = try SecretKey.generate().publicKey
    let challenge = Challenge(key)
    var nonces: Set<[UInt8]> = [Array(challenge.box.suffix(24))]
    for _ in 0..<100 {
      var handshake = Handshake(returning: Identity(clientID: 1, relayKey: relayKey), sessionKey: key)
      let keyPacket = relayKey.withCompressed { FramedHandshakePacket.publicKey($0) }.bytes.dropFirst(4)
      _ = try handshake.receive(ByteBuffer(bytes: keyPacket).readableBytesSpan)
      let step = try handshake.receive(ByteBuffer(bytes: challenge.packet.dropFirst(4)).readableBytesSpan)
      guard case .send(let bytes) = step else { throw ClientError.refused }
      // The response has 78 bytes with its size, the nonce stands last.
      nonces.insert(Array(bytes[54..<78]))
    }
    #expect(nonces.count == 101)
  }

  @Test func aPacketCutOffByTheLossComesWhole() async throws {
    let relay = try await FakeRelay.start()
    let packet = pattern(100)
    for cut in [1, 3, 4, 5, 103] {
      let (client, old, key) = try await relay.connect(persistent, pacing: TestPacing().pacing)
      try await old.write(framed([9]) + framed(packet).prefix(cut))
      // Closed in an orderly way it is a loss all the same.
      if cut == 3 { await old.close() } else { try await old.finish() }
      // The relay sends it again, whole.
      _ = try await relay.takeBack(key, behind: framed(packet) + framed([10]))
      var packets = client.packets.makeAsyncIterator()
      for packet in [[9], packet, [10]] { #expect(try await packets.next() == ByteBuffer(bytes: packet)) }
      await client.close()
    }
  }

  /// What the relay kept is read although the application has yet to take what came before the loss.
  @Test func aFullInboxHoldsNoHandshakeUp() async throws {
    let relay = try await FakeRelay.start()
    var options = persistent
    options.receiveLimit = 100
    let (client, old, key) = try await relay.connect(options, pacing: TestPacing().pacing)
    try await old.write(framed(pattern(1000)))
    while client.packets.inbox.bytes == 0 { await Task.yield() }
    try await old.reset()
    let new = try await relay.takeBack(key, behind: framed([1]))
    try await new.write(framed([2]))
    var packets = client.packets.makeAsyncIterator()
    for packet in [pattern(1000), [1], [2]] { #expect(try await packets.next() == ByteBuffer(bytes: packet)) }
    await client.close()
  }

  // MARK: - Sending meanwhile

  @Test func whatIsSentMeanwhileWaitsWithinItsBound() async throws {
    let relay = try await FakeRelay.start()
    var options = persistent
    options.sendLimit = 1000
    let time = TestPacing()
    time.hold()
    let (client, old, key) = try await relay.connect(options, pacing: time.pacing)
    try await old.reset()
    while client.state == .connected { await Task.yield() }
    // Each counts 64 bytes more: with the fifth it is full.
    for number in UInt8(0)..<5 { try await client.send([number] + pattern(150)) }
    #expect(client.unsentByteCount == 5 * 215)
    async let sixth: Void = client.send([5])
    let cancelled = Task { try await client.send([99]) }
    await Task.yield()
    cancelled.cancel()
    await #expect(throws: ClientError.cancelled) { try await cancelled.value }
    #expect(client.unsentByteCount == 5 * 215)
    time.release()
    let new = try await relay.takeBack(key)
    for number in UInt8(0)..<5 { #expect(await new.readPacket() == [number] + pattern(150)) }
    #expect(await new.readPacket() == [5])
    try await sixth
    await client.close()
  }

  /// A connection breaks while large packets are under way: what the new one brings is whole, in order, and complete
  /// from some packet on. (The sockets hold no more than two of the six.)
  @Test func aPacketUnderWayIsSentAgainWhole() async throws {
    let relay = try await FakeRelay.start()
    var options = persistent
    options.sendLimit = 1 << 30
    let (client, old, key) = try await relay.connect(options, pacing: TestPacing().pacing)
    let packets = (0..<6).map { [UInt8($0)] + pattern(8_000_000) }
    for packet in packets { try await client.send(packet) }
    // The first one is on its way.
    #expect(await old.read(1000).count == 1000)
    try await old.reset()
    let new = try await relay.takeBack(key)
    try await client.send([255])
    let first = try #require(await new.readPacket())
    #expect(first[0] <= 3)
    #expect(first == packets[Int(first[0])])
    for packet in packets.dropFirst(Int(first[0]) + 1) { #expect(await new.readPacket() == packet) }
    #expect(await new.readPacket() == [255])
    await client.close()
  }

  @Test func finishingMeanwhileSendsWhatWaitsFirst() async throws {
    let relay = try await FakeRelay.start()
    let time = TestPacing()
    time.hold()
    let (client, old, key) = try await relay.connect(persistent, pacing: time.pacing)
    try await old.reset()
    while client.state == .connected { await Task.yield() }
    try await client.send([1])
    async let finished: Void = client.finish()
    time.release()
    let new = try await relay.takeBack(key, behind: framed([7]))
    #expect(await new.readToEnd() == framed([1]))
    try await finished
    // It will not come back after that.
    try await new.write(framed([8]))
    try await new.finish()
    let (packets, error) = await collect(client.packets)
    #expect(packets == [[7], [8]])
    #expect(error == nil)
    #expect(client.state == .over(.closedByRelay))
  }

  // MARK: - Its own end

  @Test func closingMeanwhileEndsEverything() async throws {
    let relay = try await FakeRelay.start()
    let time = TestPacing()
    time.hold()
    let (client, old, _) = try await relay.connect(persistent, pacing: time.pacing)
    let states = client.states
    try await old.reset()
    while client.state == .connected { await Task.yield() }
    try await client.send([1])
    async let finishing: Void = {
      await #expect(throws: ClientError.closed) { try await client.finish() }
    }()
    await client.close()
    await finishing
    let (packets, error) = await collect(client.packets)
    #expect(packets == [])
    #expect(error == nil)
    await #expect(throws: ClientError.closed) { try await client.send([1]) }
    var last: ClientState?
    for await state in states { last = state }
    #expect(last == .over(.closed))
    #expect(client.state == .over(.closed))
  }

  @Test func closingWithinTheHandshakeClosesItsSocket() async throws {
    let relay = try await FakeRelay.start()
    let (client, old, _) = try await relay.connect(persistent, pacing: TestPacing().pacing)
    try await old.reset()
    let new = try await relay.acceptReturning()
    await client.close()
    #expect(await new.readToEnd() == [])
    #expect(client.state == .over(.closed))
  }

  @Test func aClientThatNobodyHoldsDoesNotComeBack() async throws {
    let relay = try await FakeRelay.start()
    let time = TestPacing()
    time.hold()
    var pair: (client: Client, peer: BytePeer, SessionKey)? = try await relay.connect(persistent, pacing: time.pacing)
    let states = try #require(pair).client.states
    try await #require(pair).peer.reset()
    for await state in states {
      if case .reconnecting = state { pair = nil }
      if case .over(let ending) = state { #expect(ending == .closed) }
    }
  }

  @Test func withoutReconnectionALossIsTheEnd() async throws {
    let relay = try await FakeRelay.start()
    let (client, peer) = try await relay.connect(patient)
    try await peer.reset()
    let lost = ClientError.connectionLost(reason: "connection reset")
    #expect(await collect(client.packets).error == lost)
    #expect(client.state == .over(.failed(lost)))
  }
}
