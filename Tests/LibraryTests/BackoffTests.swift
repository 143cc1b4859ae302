import NIOCore
import Testing
import VoltlaneNIO

@testable import VoltlaneClient

/// When a client comes back. No test waits: time passes by sleeping, which takes none.
@Suite(.timeLimit(.minutes(10))) struct BackoffTests {
  @Test func delaysDoubleUpToTheLast() {
    var backoff = Backoff(.init(firstDelay: .milliseconds(100), lastDelay: .seconds(1)))
    let longest = (0..<6).map { _ in backoff.next(fraction: 1) }
    #expect(longest == [100, 200, 400, 800, 1000, 1000].map { .milliseconds($0) })
    backoff.startOver()
    #expect(backoff.next(fraction: 1) == .milliseconds(100))
  }

  @Test func chanceShortensEachDelay() {
    var backoff = Backoff(.init(firstDelay: .milliseconds(100), lastDelay: .seconds(1)))
    #expect(backoff.next(fraction: 0) == .zero)
    #expect(backoff.next(fraction: 0.5) == .milliseconds(100))
    #expect(backoff.next(fraction: 0.25) == .milliseconds(100))
  }

  @Test func chanceIsSpread() {
    let fractions = (0..<1000).map { _ in Pacing.real.fraction() }
    #expect(fractions.allSatisfy { (0..<1).contains($0) })
    // That none of a thousand falls into one of these has a chance of one in 10^45.
    #expect(fractions.contains { $0 < 0.1 } && fractions.contains { $0 > 0.9 })
  }

  @Test func attemptsFollowTheirDelaysAndGiveUp() async throws {
    let relay = try await FakeRelay.start()
    var options = persistent
    options.reconnection = .init(firstDelay: .milliseconds(100), lastDelay: .seconds(1), giveUpAfter: .seconds(3))
    let time = TestPacing()
    let (client, peer, _) = try await relay.connect(options, pacing: time.pacing)
    await relay.listener.stop()
    try await peer.reset()
    let refused = ClientError.unreachable(relay.listener.endpoint, reason: "connection refused")
    let error = ClientError.gaveUp(after: .seconds(3), last: refused)
    #expect(await collect(client.packets).error == error)
    #expect(client.state == .over(.failed(error)))
    // The last delay ends with the patience; 0.1 + 0.2 + 0.4 + 0.8 + 1 are 2.5.
    #expect(time.sleeps == [100, 200, 400, 800, 1000, 500].map { .milliseconds($0) })
  }

  @Test func eachAttemptIsTold() async throws {
    let relay = try await FakeRelay.start()
    var options = persistent
    options.reconnection = .init(firstDelay: .seconds(1), lastDelay: .seconds(1), giveUpAfter: .seconds(3))
    let (client, peer, _) = try await relay.connect(options, pacing: TestPacing().pacing)
    let states = client.states
    await relay.listener.stop()
    try await peer.reset()
    let refused = ClientError.unreachable(relay.listener.endpoint, reason: "connection refused")
    var seen: [ClientState] = []
    for await state in states { seen.append(state) }
    #expect(
      seen == [
        .connected, .reconnecting(attempt: 1, cause: .connectionLost(reason: "connection reset")),
        .reconnecting(attempt: 2, cause: refused), .reconnecting(attempt: 3, cause: refused),
        .over(.failed(.gaveUp(after: .seconds(3), last: refused))),
      ])
  }

  /// A connection that does not last must not make the next attempts quicker.
  @Test func delaysStartSmallAgainOnlyAfterAConnectionHasLived() async throws {
    let relay = try await FakeRelay.start()
    var options = persistent
    options.reconnection = .init(firstDelay: .milliseconds(100), lastDelay: .seconds(1))
    let time = TestPacing()
    var (client, peer, key) = try await relay.connect(options, pacing: time.pacing)
    var states = client.states.makeAsyncIterator()
    #expect(await states.next() == .connected)
    for lived in [Duration.zero, .seconds(9), .seconds(10)] {
      time.pass(lived)
      try await peer.reset()
      _ = await states.next()
      peer = try await relay.takeBack(key)
      #expect(await states.next() == .reconnected)
      // The client looks at its clock after it has told so; a packet shows that it has.
      try await client.send([1])
      #expect(await peer.readPacket() == [1])
    }
    #expect(time.sleeps == [100, 200, 100].map { .milliseconds($0) })
    await client.close()
  }
}
