import Glibc
import Relay
import Testing

/// Peers whose machine or network is gone: they acknowledge nothing and send nothing, not even a FIN. A filter on their
/// own socket plays that here, under which the kernel drops whatever comes for it.
@Suite struct DeafPeerTests {
  @Test(arguments: Layout.allCases)
  func `a backend that acknowledges nothing is lost after its time`(_ layout: Layout) throws {
    let rig = try Rig(layout) {
      $0.backendTimeout = .seconds(1)
      $0.keepalive = .zero
    }
    let client = try rig.test.client()
    #expect(try rig.roundTrip(client))
    SocketCalls.deafen(rig.firehose.socket.descriptor)
    try client.send(pattern(1000))
    let again = Rig(rig, firehose: try rig.backend.accept())
    #expect(rig.test.eventually(.backendConnections, is: 2))
    // What its kernel never took is lost with it, and nothing else: the sessions go on.
    #expect(try again.roundTrip(client))
    #expect(try again.roundTrip(rig.test.client()))
  }

  /// Its kernel acknowledges, and there is nothing that it should have.
  @Test func `a backend that is only slow, or has nothing to acknowledge, is not lost`() throws {
    let rig = try Rig {
      $0.backendTimeout = .seconds(1)
      $0.keepalive = .zero
    }
    let client = try rig.test.client()
    SocketCalls.deafen(rig.firehose.socket.descriptor)
    #expect(!rig.backend.isDialled(within: 2500))
    SocketCalls.undeafen(rig.firehose.socket.descriptor)
    #expect(try rig.roundTrip(client))
    // More than sockets and lane hold, read only after the time.
    let packets = (0..<40).map { pattern(200_000, $0) }
    let sender = Background { for packet in packets { try client.send(packet) } }
    #expect(!rig.backend.isDialled(within: 2500))
    for packet in packets { #expect(try rig.firehose.receive() == .data(client.id, packet)) }
    try sender.join()
    #expect(rig.test.eventually(.backendConnections, is: 1))
  }

  @Test(arguments: Layout.allCases)
  func `a client that acknowledges nothing is given up after the user timeout`(_ layout: Layout) throws {
    let scene = try ProtectionScene(layout) {
      $0.tcpUserTimeout = .seconds(1)
      $0.keepalive = .zero
      $0.protection.slowClientTimeout = nil
    }
    let client = try scene.client()
    SocketCalls.deafen(client.socket.descriptor)
    try scene.rig.firehose.send(.data(client.id, [1]))
    #expect(try scene.rig.firehose.receive() == .failure(client.id, "stale timeout"))
    #expect(try scene.rig.roundTrip(scene.neighbour))
  }

  @Test(arguments: Layout.allCases)
  func `a silent client that is gone is found out by keepalive`(_ layout: Layout) throws {
    let scene = try ProtectionScene(layout) {
      $0.tcpUserTimeout = .zero
      $0.keepalive = .seconds(1)
    }
    let client = try scene.client()
    SocketCalls.deafen(client.socket.descriptor)
    // The neighbour is just as silent, but its kernel answers.
    #expect(try scene.rig.firehose.receive() == .failure(client.id, "stale timeout"))
    #expect(try scene.rig.roundTrip(scene.neighbour))
  }

  /// Whatever the user timeout is: the kernel would wait for that alone, or for one probe.
  @Test(arguments: Layout.allCases, [1, 60_000, 600_000])
  func `a silent client is found out by keepalive with any user timeout`(
    _ layout: Layout, _ userTimeout: Int
  ) throws {
    let scene = try ProtectionScene(layout) {
      $0.tcpUserTimeout = .milliseconds(userTimeout)
      $0.keepalive = .seconds(2)
    }
    let client = try scene.client()
    SocketCalls.deafen(client.socket.descriptor)
    #expect(try scene.rig.firehose.receive() == .failure(client.id, "stale timeout"))
    #expect(try scene.rig.roundTrip(scene.neighbour))
  }

  /// While a probe is unanswered the time of keepalive holds, so that the first that is lost ends nobody; and else the
  /// user timeout, for data.
  @Test(arguments: Layout.allCases, [1000, 60_000])
  func `the user timeout is for data, and not for probes`(_ layout: Layout, _ userTimeout: Int32) throws {
    let scene = try ProtectionScene(layout) {
      $0.tcpUserTimeout = .milliseconds(Int(userTimeout))
      $0.keepalive = .seconds(6)
    }
    let client = try scene.client()
    let socket = try #require(SocketCalls.otherEnd(client.socket.descriptor))
    func hasTimeout(_ milliseconds: Int32) -> Bool {
      scene.rig.test.eventually {
        SocketCalls.option(socket, Int32(IPPROTO_TCP), TCP_USER_TIMEOUT) == milliseconds
      }
    }
    #expect(hasTimeout(userTimeout))
    SocketCalls.deafen(client.socket.descriptor)
    #expect(hasTimeout(11_000))
    // It hears again, and answers the next probe.
    SocketCalls.undeafen(client.socket.descriptor)
    #expect(hasTimeout(userTimeout))
    #expect(try scene.rig.roundTrip(client))
    #expect(try scene.rig.roundTrip(scene.neighbour))
  }

  /// Not slow but out of reach: its session waits for it.
  @Test(arguments: Layout.allCases)
  func `a client that is out of reach is no slow client`(_ layout: Layout) throws {
    let scene = try ProtectionScene(layout) {
      $0.tcpUserTimeout = .seconds(4)
      $0.keepalive = .zero
      $0.staleTimeout = .seconds(60)
      $0.clientSendBuffer = 1 << 30
      $0.missedPacketsBuffer = 1 << 30
      $0.protection.slowClientTimeout = .seconds(1)
    }
    let client = try scene.client()
    SocketCalls.deafen(client.socket.descriptor)
    for number in 0..<20 { try scene.rig.firehose.send(.data(client.id, pattern(500_000, number))) }
    #expect(scene.rig.test.eventually(.sessionsGoneStale, is: 1))
    #expect(scene.rig.relay[.endedSlowClient] == 0)
    let back = try Comeback(scene.connect(from: .besideIt), client.id).finish()
    #expect(try scene.rig.firehose.receive() == .reconnection(client.id))
    #expect(try scene.rig.roundTrip(scene.neighbour))
    withExtendedLifetime(back) {}
  }
}
