import Glibc
import Relay
import Testing
import VoltlaneCrypto
import VoltlaneWire

/// Attempts to come back that fail change nothing for the owner.
@Suite struct ReconnectionRefusalTests {
  /// Whether the relay closes in order with nothing more said.
  private static func isRefused(_ attempt: Comeback, sending bytes: [UInt8]) throws -> Bool {
    try attempt.socket.send(bytes)
    return try attempt.socket.receiveToEnd() == ([], .fin)
  }

  /// With the owner attached, and with the owner away and packets waiting.
  @Test(arguments: Layout.allCases, [false, true])
  func `bad responses are refused`(_ layout: Layout, _ isStale: Bool) throws {
    let rig = try ReconnectionTests.rig(layout)
    let owner = try rig.test.client()
    if isStale {
      owner.socket.reset()
      #expect(rig.test.eventually(.sessionsGoneStale, is: 1))
      try rig.firehose.send(.data(owner.id, [1]), .data(owner.id, [2, 2]))
    }
    let ping = FramedHandshakePacket.ping.bytes
    let attempt = { try Comeback(rig.test.connect(), owner.id) }

    // The challenge itself, sent back unread: its box opens to the right bytes.
    let echoed = try attempt()
    #expect(
      try Self.isRefused(
        echoed, sending: FramedHandshakePacket.challengeResponse(echoed.challenge.span.bytes).bytes + ping))
    #expect(rig.test.eventually(.reconnectionsRefused, is: 1))

    // Sealed with a stranger's key; the right bytes in no box; other bytes in a good box.
    let strangers = try SecretKey.generate().sessionKey(with: SecretKey.generate().publicKey)
    let stranger = try attempt()
    #expect(try Self.isRefused(stranger, sending: stranger.response(key: strangers) + ping))
    let unsealed = try attempt()
    #expect(try Self.isRefused(unsealed, sending: framed([5, 72] + pattern(72)) + ping))
    let wrong = Comeback.response(SealedBox.Plain(repeating: 0), seed: 1, key: Comeback.sessionKey)
    #expect(try Self.isRefused(attempt(), sending: wrong + ping))
    #expect(rig.test.eventually(.reconnectionsRefused, is: 4))

    // A good response to an earlier challenge, and one that is used a second time.
    let earlier = try attempt()
    let replayed = try earlier.response()
    #expect(try Self.isRefused(attempt(), sending: replayed + ping))
    let twice = try attempt()
    #expect(try Self.isRefused(twice, sending: twice.response() + twice.response() + ping))

    // Too short, too long, other packets, nothing at all.
    for packet in [
      [5, 71] + pattern(71), [5, 73] + pattern(73), [5, 0], [5], [], [0], [3, 7], [2, 33] + pattern(33), pattern(256),
    ] as [[UInt8]] {
      #expect(try Self.isRefused(attempt(), sending: framed(packet) + ping), "\(packet)")
    }
    #expect(try Self.isRefused(attempt(), sending: [1, 1, 0, 0]))

    // Nothing of it reached the backend, and nothing the owner.
    let back = isStale ? try rig.test.comeBack(owner.id) : owner
    if isStale {
      #expect(try back.receive() == [1])
      #expect(try back.receive() == [2, 2])
      #expect(try rig.firehose.receive() == .reconnection(owner.id))
    }
    #expect(try rig.roundTrip(back))
    #expect(rig.relay[.sessionsEnded] == 0)
  }

  /// Parked before and behind a good response, abandoned by FIN and reset; then the owner's attempt takes effect, and
  /// closes those that are left.
  @Test(arguments: Layout.allCases)
  func `attempts run side by side`(_ layout: Layout) throws {
    let rig = try ReconnectionTests.rig(layout)
    let owner = try rig.test.client()
    let attempts = try (0..<60).map { _ in try Comeback(rig.test.connect(), owner.id) }
    for (number, attempt) in attempts.enumerated() {
      if number.isMultiple(of: 2) { try attempt.socket.send(attempt.response(seed: number)) }
      if number % 10 == 0 { attempt.socket.close() }
      if number % 10 == 1 { attempt.socket.reset() }
    }
    #expect(try rig.roundTrip(owner))
    let back = try rig.test.comeBack(owner.id)
    for (number, attempt) in attempts.enumerated() where number % 10 > 1 {
      #expect(try attempt.socket.receiveToEnd() == ([], .fin))
    }
    #expect(try owner.socket.receiveToEnd().bytes == [])
    #expect(try rig.firehose.receive() == .reconnection(owner.id))
    #expect(try rig.roundTrip(back))
    #expect(rig.test.eventually(.reconnections, is: 1))
    #expect(rig.relay[.reconnectionsRefused] == 0)
  }

  @Test(arguments: Layout.allCases)
  func `a good response without the ping changes nothing, with a late ping it takes effect`(_ layout: Layout) throws {
    let rig = try ReconnectionTests.rig(layout)
    let owner = try rig.test.client()
    let attempt = try Comeback(rig.test.connect(), owner.id)
    try attempt.socket.send(attempt.response())
    #expect(try attempt.socket.staysSilent(milliseconds: 300))
    #expect(try rig.roundTrip(owner))
    try attempt.socket.send(pieces: FramedHandshakePacket.ping.bytes.map { [$0] })
    #expect(try attempt.socket.receivePacket() == [0])
    #expect(try rig.firehose.receive() == .reconnection(owner.id))
  }

  /// Strangers who know the id fail again and again, from other addresses and the owner's own; the owner gets in.
  @Test(arguments: Layout.allCases)
  func `strangers never lock the owner out`(_ layout: Layout) throws {
    let rig = try ReconnectionTests.rig(layout)
    let owner = try rig.test.client()
    owner.socket.reset()
    #expect(rig.test.eventually(.sessionsGoneStale, is: 1))
    let wrong = Comeback.response(SealedBox.Plain(repeating: 0), seed: 1, key: Comeback.sessionKey)
    for number in 0..<200 {
      let stranger = try Comeback(
        RawSocket(to: rig.test.endpoint, from: .tcp(host: "127.7.\(number % 5).9", port: 0)), owner.id)
      try stranger.socket.send(wrong + FramedHandshakePacket.ping.bytes)
      #expect(try stranger.socket.receiveToEnd() == ([], .fin))
    }
    let back = try rig.test.comeBack(owner.id)
    #expect(try rig.firehose.receive() == .reconnection(owner.id))
    #expect(try rig.roundTrip(back))
  }
}
