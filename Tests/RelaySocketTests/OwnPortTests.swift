import CNamespace
import Glibc
import Relay
import Testing

/// The kernel gives outgoing connections the ports of a range, and those that people listen on are often within it: in
/// a network of the test's own the range is so narrow that every dial meets them.
@Suite struct OwnPortTests {
  private static let port: UInt16 = 42002

  /// Runs `body` on a thread whose outgoing connections get ports from `first` to `last`.
  static func inNarrowNetwork(_ first: UInt16, _ last: UInt16, _ body: @escaping () throws -> Void) throws {
    try Background {
      let result = namespace_enter(Int32(first), Int32(last))
      guard result == 0 else {
        print("skipped: no network of its own can be had here (unshare, as root): errno \(-result)")
        return
      }
      try body()
    }.join()
  }

  /// With nobody there the relay would be its own backend: TCP connects a socket to itself.
  @Test(arguments: ["127.0.0.1", "::1", "localhost"], Layout.allCases)
  func `the relay does not take itself for the backend`(_ host: String, _ layout: Layout) throws {
    // No other port can be had.
    try Self.inNarrowNetwork(Self.port, Self.port) {
      let test = try TestRelay(
        layout, listeners: [.tcp(host: "127.0.0.1", port: 20_000)], backend: .tcp(host: host, port: Self.port)
      ) {
        $0.longestDialDelay = .milliseconds(50)
      }
      var met = false
      #expect(
        test.eventually {
          test.relay.takeEvents { if case .backendNotReached(.itself, _) = $0 { met = true } }
          return met || test.relay[.backendConnections] > 0
        })
      // The dials go on, and each gives the port back at once: nothing else has kept it.
      #expect(test.eventually { test.relay[.backendDialsFailed] > 5 || test.relay[.backendConnections] > 0 })
      #expect(met && test.relay[.backendConnections] == 0)
      _ = namespace_set_ports(Int32(Self.port), Int32(Self.port) + 3)
      let address = host == "::1" ? host : "127.0.0.1"
      // At the first try, whatever the relay's sockets do.
      let backend = try RawBackend(.tcp(host: address, port: Self.port))
      let rig = Rig(backend: backend, test: test, firehose: try backend.accept())
      let client = try test.client()
      #expect(try rig.roundTrip(client))
      #expect(test.relay[.backendConnections] == 1)
    }
  }

  /// Nor does what it leaves behind keep anybody from listening: its port is in TIME-WAIT, because it closed first.
  @Test func `a port that the relay dialled from can be listened on`() throws {
    try Self.inNarrowNetwork(Self.port, Self.port) {
      let backend = try RawBackend(.tcp(host: "127.0.0.1", port: 20_001))
      do {
        let test = try TestRelay(listeners: [.tcp(host: "127.0.0.1", port: 20_000)], backend: backend.endpoint)
        let firehose = try backend.accept()
        #expect(test.eventually(.backendConnections, is: 1))
        // While the connection stands.
        _ = try RawBackend(.tcp(host: "127.0.0.1", port: Self.port))
        test.relay.drain()
        #expect(try firehose.socket.receiveToEnd() == ([], .fin))
        firehose.socket.close()
        #expect(test.finishes())
      }
      // A restart, where the relay had happened to get its own port to dial from.
      let own = try TestRelay(listeners: [.tcp(host: "127.0.0.1", port: Self.port)], backend: backend.endpoint)
      #expect(own.endpoint == .tcp(host: "127.0.0.1", port: Self.port))
    }
  }

  /// By whatever address of this machine's it names its own listener.
  @Test(arguments: ["127.0.0.1", "127.0.0.2"])
  func `a relay that is to be its own backend does not start`(_ host: String) throws {
    let port = try SocketCalls.ownPort()
    #expect {
      _ = try TestRelay(
        listeners: [.tcp(host: "0.0.0.0", port: port)], backend: .tcp(host: host, port: port))
    } throws: {
      "\($0)".contains("the backend is the relay itself, which listens on 0.0.0.0:\(port)")
    }
  }

  /// A name may lead elsewhere later: it is dialled again, and what answers is not taken for the backend.
  @Test func `a name that leads to the relay itself leads to no backend`() throws {
    try Self.inNarrowNetwork(40_000, 50_000) {
      let test = try TestRelay(
        listeners: [.tcp(host: "127.0.0.1", port: 20_000)], backend: .tcp(host: "localhost", port: 20_000)
      ) {
        $0.longestDialDelay = .milliseconds(50)
      }
      var told = false
      #expect(
        test.eventually {
          test.relay.takeEvents { if case .backendNotReached(.listener, _) = $0 { told = true } }
          return told
        })
      #expect(test.relay[.backendConnections] == 0 && test.relay[.clientsAccepted] == 0)
    }
  }
}
