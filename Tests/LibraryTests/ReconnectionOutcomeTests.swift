import Glibc
import NIOCore
import Testing
import VoltlaneCrypto
import VoltlaneNIO
import VoltlaneWire

@testable import VoltlaneClient

/// What a relay may answer to a client that comes back, and what becomes of it.
@Suite(.timeLimit(.minutes(10))) struct ReconnectionOutcomeTests {
  private struct Lost {
    let relay: FakeRelay
    let client: Client
    let sessionKey: SessionKey
    let time = TestPacing()
    /// After the loss.
    var states: AsyncStream<ClientState>.Iterator

    /// A client whose connection was lost, or closed in an orderly way.
    init(orderly: Bool = false) async throws {
      relay = try await FakeRelay.start()
      let peer: BytePeer
      (client, peer, sessionKey) = try await relay.connect(persistent, pacing: time.pacing)
      states = client.states.makeAsyncIterator()
      #expect(await states.next() == .connected)
      if orderly { await peer.close() } else { try await peer.reset() }
      guard case .reconnecting(attempt: 1, _) = await states.next() else {
        throw ClientError.refused
      }
    }

    /// The next attempt comes to `error`, and the one after that succeeds.
    mutating func goesOn(after error: ClientError) async throws {
      #expect(await states.next() == .reconnecting(attempt: 2, cause: error))
      let peer = try await relay.takeBack(sessionKey, behind: framed([1]))
      #expect(await states.next() == .reconnected)
      var packets = client.packets.makeAsyncIterator()
      #expect(try await packets.next() == ByteBuffer(bytes: [1]))
      try await client.send([2])
      #expect(await peer.readPacket() == [2])
      await client.close()
    }
  }

  @Test func anOrderlyCloseAfterTheIDIsTheEndOfTheSessionWhenItIsHeardTwice() async throws {
    var lost = try await Lost()
    await (try await lost.relay.acceptReturning()).close()
    #expect(await lost.states.next() == .reconnecting(attempt: 2, cause: .sessionOver))
    await (try await lost.relay.acceptReturning()).close()
    #expect(await collect(lost.client.packets).error == .sessionOver)
    #expect(await lost.states.next() == .over(.failed(.sessionOver)))
    #expect(await lost.states.next() == nil)
    await #expect(throws: ClientError.closed) { try await lost.client.send([1]) }
  }

  /// As after a kick, and when the relay was stopped and started again: nothing was lost on the way to the client, and
  /// still its session is over, which it has to hear.
  @Test func afterAnOrderlyCloseTheSessionIsOverAsWell() async throws {
    var lost = try await Lost(orderly: true)
    try await lost.relay.acceptReturning().finish()
    #expect(await lost.states.next() == .reconnecting(attempt: 2, cause: .sessionOver))
    try await lost.relay.acceptReturning().finish()
    #expect(await collect(lost.client.packets).error == .sessionOver)
    #expect(await lost.states.next() == .over(.failed(.sessionOver)))
  }

  /// The first time it was a proxy that closed.
  @Test func anOrderlyCloseThatIsNotSaidTwiceEndsNothing() async throws {
    var lost = try await Lost()
    await (try await lost.relay.acceptReturning()).close()
    try await lost.goesOn(after: .sessionOver)
  }

  /// A refusal in between says that the session lives: what was heard before it counts no more. A connection that never
  /// came to the relay's answer says nothing.
  @Test func onlyARefusalContradictsAnOrderlyClose() async throws {
    var lost = try await Lost()
    func close() async throws { await (try await lost.relay.acceptReturning()).close() }
    try await close()
    #expect(await lost.states.next() == .reconnecting(attempt: 2, cause: .sessionOver))
    try await lost.relay.acceptReturning().reset()
    #expect(await lost.states.next() == .reconnecting(attempt: 3, cause: .refused))
    try await close()
    #expect(await lost.states.next() == .reconnecting(attempt: 4, cause: .sessionOver))
    await (await lost.relay.listener.accept()).close()
    #expect(await lost.states.next() == .reconnecting(attempt: 5, cause: .closedDuringHandshake))
    try await close()
    #expect(await lost.states.next() == .over(.failed(.sessionOver)))
  }

  /// What a relay sends that refuses before it has a challenge, behind a proxy that makes a FIN of its reset.
  @Test func anEndBehindTheBeginningOfAChallengeIsARefusal() async throws {
    var lost = try await Lost()
    let peer = try await lost.relay.acceptReturning()
    try await peer.write([74, 0, 0, 0])
    await peer.close()
    try await lost.goesOn(after: .refused)
  }

  @Test func aResetAfterTheIDIsARefusal() async throws {
    var lost = try await Lost()
    try await lost.relay.acceptReturning().reset()
    try await lost.goesOn(after: .refused)
  }

  /// A reset may first be seen by the write of the id, which NIO tells before the call for it has returned.
  @Test func aResetThatTheIDRunsIntoIsARefusal() async throws {
    let relayKey = try SecretKey.generate().publicKey
    let key = try SecretKey.generate().sessionKey(with: relayKey)
    let relay = try await TestChannel(
      relayKey: relayKey,
      handshake: Handshake(returning: Identity(clientID: 1, relayKey: relayKey), sessionKey: key))
    try await relay.channel.testingEventLoop.executeInContext { [channel = relay.channel] in
      try channel.pipeline.syncOperations.addHandler(FailingWrites(), position: .first)
    }
    try? await relay.send(relayKey.withCompressed { FramedHandshakePacket.publicKey($0) }.bytes)
    await #expect(throws: ClientError.refused) { _ = try await relay.opened.get() }
  }

  private final class FailingWrites: ChannelOutboundHandler {
    typealias OutboundIn = ByteBuffer

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
      promise?.fail(IOError(errnoCode: EPIPE, reason: "write"))
      context.close(promise: nil)
    }
  }

  @Test func anEndWithinTheChallengeIsARefusal() async throws {
    var lost = try await Lost()
    let peer = try await lost.relay.acceptReturning()
    try await peer.write(Array(Challenge(lost.sessionKey).packet.dropLast()))
    await peer.close()
    try await lost.goesOn(after: .refused)
  }

  @Test(arguments: [true, false])
  func anEndAfterTheChallengeIsARefusal(isOrderly: Bool) async throws {
    var lost = try await Lost()
    let peer = try await lost.relay.acceptReturning()
    try await peer.write(Challenge(lost.sessionKey).packet)
    _ = await peer.readPacket()
    _ = await peer.readPacket()
    if isOrderly { await peer.close() } else { try await peer.reset() }
    try await lost.goesOn(after: .refused)
  }

  @Test(arguments: [true, false])
  func anEndBeforeTheKeySaysNothingOfTheSession(isOrderly: Bool) async throws {
    var lost = try await Lost()
    let peer = await lost.relay.listener.accept()
    _ = await peer.readPacket()
    if isOrderly { await peer.close() } else { try await peer.reset() }
    try await lost.goesOn(after: .closedDuringHandshake)
  }

  @Test func anotherKeyEndsItAndHearsNoID() async throws {
    var lost = try await Lost()
    let other = try SecretKey.generate().publicKey
    let peer = await lost.relay.listener.accept()
    try await peer.write(other.withCompressed { FramedHandshakePacket.publicKey($0) }.bytes)
    #expect(await peer.readToEnd() == framed([1, 2]))
    let error = ClientError.wrongRelayKey(expected: lost.relay.key.compressed, received: other.compressed)
    #expect(await collect(lost.client.packets).error == error)
    #expect(await lost.states.next() == .over(.failed(error)))
  }

  /// One bit of the ciphertext, of the tag and of the nonce.
  @Test(arguments: [0, 40, 71])
  func aChallengeThatCannotBeOpenedIsNotAnswered(place: Int) async throws {
    var lost = try await Lost()
    let peer = try await lost.relay.acceptReturning()
    var box = Challenge(lost.sessionKey).box
    box[place] ^= 1
    try await peer.write(FramedHandshakePacket.challenge(box.span.bytes).bytes)
    #expect(await peer.readToEnd() == [])
    try await lost.goesOn(after: .invalidChallenge)
  }

  static let garbage: [(bytes: [UInt8], error: ClientError)] = [
    (framed([4, 71] + pattern(71)), .malformedHandshake(.invalidSealedBox(byteCount: 71))),
    (framed([4, 72] + pattern(71)), .malformedHandshake(.truncated)),
    (framed([]), .malformedHandshake(.truncated)),
    (FramedHandshakePacket.ping.bytes, .unexpectedHandshakePacket("ping")),
    (FramedHandshakePacket.clientID(FakeRelay.clientID).bytes, .unexpectedHandshakePacket("client id")),
    ([1, 1, 0, 0], .malformedHandshake(.tooLarge(byteCount: 257))),
  ]

  @Test(arguments: garbage.indices)
  func somethingElseThanAChallenge(index: Int) async throws {
    var lost = try await Lost()
    let peer = try await lost.relay.acceptReturning()
    try await peer.write(Self.garbage[index].bytes)
    #expect(await peer.readToEnd() == [])
    try await lost.goesOn(after: Self.garbage[index].error)
  }

  @Test func somethingElseThanThePing() async throws {
    var lost = try await Lost()
    let peer = try await lost.relay.acceptReturning()
    try await peer.write(Challenge(lost.sessionKey).packet + Challenge(lost.sessionKey).packet)
    try await lost.goesOn(after: .unexpectedHandshakePacket("challenge"))
  }

  /// No attempt takes longer than there is time until the client gives up (which does not pass here).
  @Test func aSilentRelayTimesOut() async throws {
    let relay = try await FakeRelay.start()
    var options = persistent
    options.reconnection = .init(giveUpAfter: .milliseconds(200))
    let (client, peer, _) = try await relay.connect(options, pacing: TestPacing(fraction: 0).pacing)
    var states = client.states.makeAsyncIterator()
    #expect(await states.next() == .connected)
    try await peer.reset()
    _ = await states.next()
    #expect(await states.next() == .reconnecting(attempt: 2, cause: .timeout(.milliseconds(200))))
    await client.close()
  }

  // MARK: - Pinning

  @Test func aPinnedKeyIsCheckedAtOnce() async throws {
    let relay = try await FakeRelay.start()
    var options = persistent
    options.relayKey = relay.key.compressed
    let (client, _) = try await relay.connect(options)
    #expect(client.relayPublicKey == relay.key.compressed)

    let other = try SecretKey.generate().publicKey.compressed
    options.relayKey = other
    let connecting = Task { [options] in try await Client.connect(to: relay.listener.endpoint, options: options) }
    let peer = await relay.listener.accept()
    try await peer.write(relay.greeting)
    await #expect(throws: ClientError.wrongRelayKey(expected: other, received: relay.key.compressed)) {
      try await connecting.value
    }
    _ = await peer.readToEnd()
  }

  @Test func aPinnedKeyThatIsNone() async throws {
    let relay = try await FakeRelay.start()
    var options = persistent
    options.relayKey = pattern(32)
    await #expect(throws: ClientError.invalidRelayKey(.invalidEncoding(byteCount: 32, tag: nil))) {
      try await Client.connect(to: relay.listener.endpoint, options: options)
    }
  }
}
