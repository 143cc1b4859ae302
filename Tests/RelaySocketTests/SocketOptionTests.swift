import Glibc
import Relay
import Testing

/// What notices dead peers is set on the sockets that the relay has, seen on the sockets themselves: it runs in this
/// process. What follows from them is in ``DeafPeerTests``.
@Suite struct SocketOptionTests {
  private static let tcp = Int32(IPPROTO_TCP)

  @Test(arguments: Layout.allCases)
  func `keepalive and the user timeout are set`(_ layout: Layout) throws {
    for (keepalive, userTimeout, interval, probes) in [
      (30, 60_000, 10, 3), (7, 1500, 2, 4), (1, 1, 1, 1), (2, 60_000, 1, 2), (5, 600_000, 1, 5), (8, 2000, 2, 4),
    ] {
      let rig = try Rig(layout) {
        $0.keepalive = .seconds(keepalive)
        $0.tcpUserTimeout = .milliseconds(userTimeout)
      }
      // On either shard.
      for _ in 0..<8 {
        let client = try rig.test.client()
        let socket = try #require(SocketCalls.otherEnd(client.socket.descriptor))
        #expect(SocketCalls.option(socket, SOL_SOCKET, SO_KEEPALIVE) == 1)
        #expect(SocketCalls.option(socket, Self.tcp, TCP_KEEPIDLE) == Int32(keepalive))
        #expect(SocketCalls.option(socket, Self.tcp, TCP_KEEPINTVL) == Int32(interval))
        #expect(SocketCalls.option(socket, Self.tcp, TCP_KEEPCNT) == Int32(probes))
        // After the last probe twice the time is over, give or take half a probe.
        #expect(abs(interval * probes - keepalive) * 2 <= interval)
        #expect(SocketCalls.option(socket, Self.tcp, TCP_USER_TIMEOUT) == Int32(userTimeout))
        #expect(SocketCalls.option(socket, Self.tcp, TCP_NODELAY) == 1)
      }
      let firehose = try #require(SocketCalls.otherEnd(rig.firehose.socket.descriptor))
      #expect(SocketCalls.option(firehose, SOL_SOCKET, SO_KEEPALIVE) == 1)
      #expect(SocketCalls.option(firehose, Self.tcp, TCP_KEEPIDLE) == Int32(keepalive))
      // A slow backend is not a dead one: its window may stay closed.
      #expect(SocketCalls.option(firehose, Self.tcp, TCP_USER_TIMEOUT) == 0)
    }
  }

  @Test func `what the kernel receives ahead of the relay has its bound`() throws {
    for bytes in [4096, 100_000] {
      let rig = try Rig { $0.clientReceiveBuffer = bytes }
      let client = try rig.test.client()
      let socket = try #require(SocketCalls.otherEnd(client.socket.descriptor))
      // The kernel doubles it, for what it keeps beside the bytes.
      #expect(SocketCalls.option(socket, SOL_SOCKET, SO_RCVBUF) == Int32(2 * bytes))
      #expect(try rig.roundTrip(client, pattern(200_000)))
    }
  }

  @Test(arguments: Layout.allCases)
  func `both can be left off`(_ layout: Layout) throws {
    let rig = try Rig(layout) {
      $0.keepalive = .zero
      $0.tcpUserTimeout = .zero
    }
    let client = try rig.test.client()
    for end in [client.socket, rig.firehose.socket] {
      let socket = try #require(SocketCalls.otherEnd(end.descriptor))
      #expect(SocketCalls.option(socket, SOL_SOCKET, SO_KEEPALIVE) == 0)
      #expect(SocketCalls.option(socket, Self.tcp, TCP_USER_TIMEOUT) == 0)
    }
  }
}
