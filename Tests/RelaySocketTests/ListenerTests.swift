import Glibc
import Relay
import Synchronization
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
    let port = try SocketCalls.ownPort()
    let first = try TestRelay(listeners: [.tcp(host: "0.0.0.0", port: port)], backend: backend.endpoint)
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
    let endpoint = Endpoint.tcp(host: "127.0.0.1", port: try SocketCalls.ownPort())
    let kept = try TestRelay(listeners: [endpoint], backend: .tcp(host: "127.0.0.1", port: 1))
    kept.relay.stop()
    // The port is free again, also after a relay that did not start.
    for _ in 0..<2 { #expect(failure([endpoint]) { $0.cpus = [1023] }?.contains("CPU 1023") == true) }
    #expect(failure([endpoint]) == nil)
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

  /// A successor that starts while this relay drains has the path, and keeps it.
  @Test(arguments: Layout.allCases)
  func `a drain leaves the path to a successor`(_ layout: Layout) throws {
    let path = path("successor\(layout)")
    let backend = try RawBackend()
    let old = try TestRelay(layout, listeners: [.unix(path: path)], backend: backend.endpoint)
    let firehose = try backend.accept()
    // While a connection is on probation another one would be made in its place.
    #expect(old.eventually(.backendConnections, is: 1))
    let client = try old.client()
    old.relay.drain()
    #expect(try client.socket.receiveToEnd() == ([], .fin))
    // The client keeps its socket, and the backend its connection: the drain goes on.
    #expect(access(path, F_OK) != 0)
    #expect(throws: SocketFailure.self) { try old.connect() }
    let successor = try TestRelay(layout, listeners: [.unix(path: path)], backend: backend.endpoint)
    _ = try successor.client()
    client.socket.close()
    // A backend that closed before it had been told of the client's end would be dialled again.
    #expect(try firehose.socket.receiveToEnd().end == .fin)
    firehose.socket.close()
    #expect(old.finishes())
    old.relay.stop()
    _ = try successor.client()
    successor.relay.stop()
    #expect(access(path, F_OK) != 0)
  }

  /// A client that was not accepted before the drain is told so, as over TCP: nobody waits for a relay in vain.
  @Test(arguments: Layout.allCases)
  func `a drain takes nobody over a unix socket`(_ layout: Layout) throws {
    let path = path("drained\(layout)")
    let backend = try RawBackend()
    let test = try TestRelay(layout, listeners: [.unix(path: path)], backend: backend.endpoint)
    let firehose = try backend.accept()
    // While a connection is on probation another one would be made in its place.
    #expect(test.eventually(.backendConnections, is: 1))
    let early = try (0..<20).map { _ in try test.client() }
    let link = path + ".link"
    #expect(Glibc.link(path, link) == 0)
    defer { unlink(link) }
    test.relay.drain()
    for client in early { #expect(try client.socket.receiveToEnd().bytes == []) }
    // By the name that the relay does not remove, the socket itself is reached.
    #expect(test.eventually { (try? RawSocket(to: .unix(path: link))) == nil })
    for client in early { client.socket.close() }
    // A backend that closed before it had been told of their ends would be dialled again.
    #expect(try firehose.socket.receiveToEnd().end == .fin)
    firehose.socket.close()
    #expect(test.finishes())
  }

  @Test func `a file that took the path meanwhile stays`() throws {
    let path = path()
    defer { unlink(path) }
    let test = try TestRelay(listeners: [.unix(path: path)], backend: .tcp(host: "127.0.0.1", port: 1))
    unlink(path)
    let other = try RawBackend(.unix(path: path))
    test.relay.stop()
    #expect(try RawSocket(to: .unix(path: path)).end == nil)
    withExtendedLifetime(other) {}
  }

  @Test func `relays that start at once do not take each other's path`() throws {
    let path = path()
    do { _ = try RawBackend(.unix(path: path)) }
    let relays = Started()
    let tries = (0..<8).map { _ in
      Background {
        guard let test = try? TestRelay(listeners: [.unix(path: path)], backend: .tcp(host: "127.0.0.1", port: 1))
        else { return }
        relays.lock.withLock { _ in relays.all.append(test) }
      }
    }
    for attempt in tries { try attempt.join() }
    #expect(relays.all.count == 1)
    _ = try relays.all.first?.client()
  }

  /// Relays that several threads started; `lock` is held by the one that adds one.
  private final class Started: @unchecked Sendable {
    let lock = Mutex(0)
    var all: [TestRelay] = []
  }

  @Test func `mode and group of a socket file`() throws {
    let path = path()
    let group = getuid() == 0 ? 4242 : getgid()
    for mode: UInt16? in [0o660, 0o600, 0o777, nil] {
      let test = try TestRelay(listeners: [.unix(path: path)], backend: .tcp(host: "127.0.0.1", port: 1)) {
        $0.unixSocketMode = mode
        $0.unixSocketGroup = group
      }
      var information = stat()
      #expect(lstat(path, &information) == 0)
      let mask = umask(0)
      umask(mask)
      #expect(information.st_mode & 0o777 == mode.map(UInt32.init) ?? (0o777 & ~mask))
      #expect(information.st_gid == group)
      _ = try test.client()
    }
  }

  /// The number of handshakes is a limit of each shard: it shows how clients are spread.
  @Test func `clients of a unix socket are spread over the shards`() throws {
    let path = path()
    let test = try TestRelay(listeners: [.unix(path: path)], backend: .tcp(host: "127.0.0.1", port: 1)) {
      $0.shards = 4
      $0.protection.maxPendingHandshakes = 25
    }
    let sockets = try (0..<100).map { _ in try test.connect() }
    #expect(test.eventually(.clientsAccepted, is: 100))
    #expect(test.relay[.refusedHandshakes] == 0)
    withExtendedLifetime(sockets) {}
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
