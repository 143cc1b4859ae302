import Glibc
import Relay
import Testing
import VoltlaneCrypto
import VoltlaneWire

/// Between client id and challenge an orderly close says that the session is over. Behind a proxy every end is one, and
/// over a unix socket there is no other: the relay never says "later" by its end alone.
@Suite struct BehindAProxyTests {
  /// A relay over TCP or a unix socket, and a proxy in front of it.
  private struct Stage {
    let rig: Rig
    let proxy: FINProxy
    let path: String

    init(
      _ layout: Layout, overUnixSocket: Bool, _ name: String, configure: (inout RelayConfiguration) -> Void
    ) throws {
      let path = "/tmp/voltlane-proxied-\(name)-\(layout)-\(getpid()).sock"
      self.path = path
      rig = try ReconnectionTests.rig(layout) {
        if overUnixSocket { $0.listeners = [.unix(path: path)] }
        configure(&$0)
      }
      proxy = try FINProxy(to: rig.test.endpoint)
    }

    func connect() throws -> RawSocket { try RawSocket(to: proxy.endpoint) }
  }

  /// A stranger's wrong responses make the relay refuse the owner, whose address is the same; it gets its challenge, so
  /// it knows that its session lives. A unix socket has no address, and the owner is let in.
  @Test(arguments: Layout.allCases, [false, true])
  func `wrong responses of a stranger do not end the owner's session`(
    _ layout: Layout, overUnixSocket: Bool
  ) throws {
    let stage = try Stage(layout, overUnixSocket: overUnixSocket, "stranger") {
      $0.protection.reconnectFailures = Rate(2, per: .minute)
      $0.protection.limitsLoopback = true
    }
    let owner = try RawClient(stage.connect())
    owner.socket.close()
    let wrong = Comeback.response(SealedBox.Plain(repeating: 0), seed: 1, key: Comeback.sessionKey)
    for _ in 0..<2 {
      let stranger = try Comeback(stage.connect(), owner.id)
      try stranger.socket.send(wrong + FramedHandshakePacket.ping.bytes)
      #expect(try stranger.socket.receiveToEnd() == ([], .fin))
    }
    #expect(stage.rig.test.eventually(.reconnectionsRefused, is: 2))
    if overUnixSocket {
      let back = try Comeback(stage.connect(), owner.id).finish()
      #expect(try stage.rig.firehose.receive() == .reconnection(owner.id))
      #expect(try stage.rig.roundTrip(back))
    } else {
      // Again and again, to either shard.
      for round in 1...6 as ClosedRange<UInt64> {
        let refused = try Comeback(stage.connect(), owner.id)
        try refused.answer()
        #expect(try refused.socket.receiveToEnd() == ([], .fin))
        #expect(stage.rig.test.eventually(.refusedReconnectFailures, is: round))
      }
      #expect(stage.rig.relay[.sessionsEnded] == 0)
    }
  }

  /// The time for the handshake is over, and the client's id may be on its way.
  @Test(arguments: Layout.allCases, [false, true])
  func `a handshake whose time is over ends within a packet`(_ layout: Layout, overUnixSocket: Bool) throws {
    let stage = try Stage(layout, overUnixSocket: overUnixSocket, "late") {
      $0.protection.handshakeTimeout = .seconds(2)
    }
    for connect in [stage.connect, { try stage.rig.test.connect() }] {
      let socket = try connect()
      try socket.send(RawClient.version)
      #expect(try socket.receive(RawClient.relayKey.count) == RawClient.relayKey)
      let (bytes, end) = try socket.receiveToEnd()
      if end == .fin { #expect(bytes == [74, 0, 0, 0]) }
    }
  }

  /// Attempts that are under way when another takes effect.
  @Test(arguments: Layout.allCases, [false, true])
  func `an attempt that loses is not told that its session is over`(_ layout: Layout, overUnixSocket: Bool) throws {
    let stage = try Stage(layout, overUnixSocket: overUnixSocket, "loser") { _ in }
    let owner = try RawClient(stage.connect())
    for _ in 0..<20 {
      let winner = try Comeback(stage.connect(), owner.id)
      let losers = try (0..<4).map { _ in
        let socket = try stage.connect()
        try Comeback.name(owner.id, socket)
        return socket
      }
      _ = try winner.finish()
      for loser in losers { _ = try Comeback.receiveChallenge(loser) }
    }
  }
}
