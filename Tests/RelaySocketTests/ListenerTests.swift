import Glibc
import Relay
import Testing
import VoltlaneCrypto

/// Where clients connect, and why a relay does not start.
@Suite struct ListenerTests {
  private static let loopback = Endpoint.tcp(host: "127.0.0.1", port: 0)

  /// A path that no other test has.
  private func path(_ name: String = #function) -> String {
    "/tmp/voltlane-\(getpid())-\(name.filter(\.isLetter).prefix(40)).sock"
  }

  @Test(arguments: Layout.allCases)
  func `IPv4, IPv6 and unix at once`(_ layout: Layout) throws {
    let path = path("mixed\(layout)")
    let backend = try RawBackend()
    let listeners: [Endpoint] = [
      ListenerTests.loopback, .tcp(host: "::1", port: 0), .unix(path: path), .tcp(host: "127.0.0.1", port: 0),
    ]
    let test = try TestRelay(layout, listeners: listeners, backend: backend.endpoint)
    let rig = Rig(backend: backend, test: test, firehose: try backend.accept())
    #expect(test.relay.endpoints.count == 4)
    // Kept, so that their ends don't come between the others' packets.
    var kept: [RawClient] = []
    for endpoint in test.relay.endpoints {
      // As many as reach both shards.
      let clients = try (0..<16).map { _ in try RawClient(RawSocket(to: endpoint)) }
      kept += clients
      for client in clients {
        #expect(try rig.roundTrip(client, pattern(100_000)), "\(endpoint)")
      }
      let client = try RawClient(RawSocket(to: endpoint))
      try rig.firehose.send(.data(client.id, pattern(300_000)), .kick(client.id))
      try client.send(pattern(2000))
      #expect(try client.receive() == pattern(300_000))
      #expect(try client.socket.receiveToEnd() == ([], .fin), "\(endpoint)")
      while try rig.firehose.receive() != .failure(client.id, "kicked") {}
      kept.append(client)
    }
  }

  @Test func `one port for both families`() throws {
    let backend = try RawBackend()
    let first = try TestRelay(listeners: [.tcp(host: "0.0.0.0", port: 0)], backend: backend.endpoint)
    guard case .tcp(_, let port) = first.endpoint else { return }
    let second = try TestRelay(listeners: [.tcp(host: "::", port: port)], backend: backend.endpoint)
    _ = try RawClient(RawSocket(to: .tcp(host: "127.0.0.1", port: port)))
    _ = try RawClient(RawSocket(to: .tcp(host: "::1", port: port)))
    #expect(first.eventually(.sessionsStarted, is: 1))
    #expect(second.eventually(.sessionsStarted, is: 1))
  }

  // MARK: What cannot start

  private func failure(_ listeners: [Endpoint], _ configure: (inout RelayConfiguration) -> Void = { _ in }) -> String? {
    do {
      _ = try TestRelay(listeners: listeners, backend: .tcp(host: "127.0.0.1", port: 1), configure: configure)
      return nil
    } catch {
      return "\(error)"
    }
  }

  @Test(arguments: Layout.allCases)
  func `a port that is taken`(_ layout: Layout) throws {
    let taken = try RawBackend()
    #expect(failure([taken.endpoint]) == "cannot listen on \(taken.endpoint): Address already in use")
    // Also by another relay, whose sockets would share it.
    let relay = try TestRelay(layout, backend: taken.endpoint)
    #expect(failure([ListenerTests.loopback, relay.endpoint])?.hasSuffix("Address already in use") == true)
    _ = try relay.client()
  }

  @Test func `a unix path without a directory`() {
    #expect(failure([.unix(path: "/no/such/directory/x.sock")])?.hasSuffix("No such file or directory") == true)
  }

  @Test func `a CPU that is not there`() throws {
    let kept = try TestRelay(backend: .tcp(host: "127.0.0.1", port: 1))
    kept.relay.stop()
    // The port is free again, also after a relay that did not start.
    for _ in 0..<2 { #expect(failure([kept.endpoint]) { $0.cpus = [1023] }?.contains("CPU 1023") == true) }
    #expect(failure([kept.endpoint]) == nil)
  }

  // MARK: Socket files

  @Test func `a stale socket file is replaced, and removed in the end`() throws {
    let path = path()
    do { _ = try RawBackend(.unix(path: path)) }
    #expect(access(path, F_OK) == 0)
    let test = try TestRelay(.own, listeners: [.unix(path: path)], backend: .tcp(host: "127.0.0.1", port: 1))
    _ = try test.client()
    test.relay.stop()
    #expect(access(path, F_OK) != 0)
  }

  @Test func `a socket file in use is not touched`() throws {
    let path = path()
    let test = try TestRelay(listeners: [.unix(path: path)], backend: .tcp(host: "127.0.0.1", port: 1))
    #expect(failure([.unix(path: path)])?.hasSuffix("Address already in use") == true)
    _ = try test.client()
  }

  /// Only a socket is ever replaced: a file of another kind refuses connections too.
  @Test func `a file that is no socket is not touched`() throws {
    let path = path()
    defer { unlink(path) }
    let file = creat(path, 0o600)
    close(file)
    #expect(failure([.unix(path: path)]) == "unix:\(path): the file that is there is not a socket")
    #expect(access(path, F_OK) == 0)
  }
}
