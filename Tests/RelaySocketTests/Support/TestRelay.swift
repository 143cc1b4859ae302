import Glibc
import Relay
import Testing
import Vectors
import VoltlaneCrypto

/// How the relay's roles are spread over threads.
enum Layout: CaseIterable, Codable, Sendable {
  /// One shard that shares its thread with the firehose.
  case shared
  /// Two shards and the firehose, each on a thread of its own.
  case own
  /// Four shards and the firehose, which move between three threads all the time.
  case moving

  /// What every test is run with: moving is tried where much goes on.
  static let allCases: [Layout] = [.shared, .own]
}

/// A relay with a real kernel, threads and sockets, whose key is that of the protocol's vectors.
final class TestRelay {
  let relay: Relay
  private var mover: Mover?

  init(
    _ layout: Layout = .shared, listeners: [Endpoint] = [.tcp(host: "127.0.0.1", port: 0)], backend: Endpoint,
    configure: (inout RelayConfiguration) -> Void = { _ in }, beforeItAccepts: (Relay) throws -> Void = { _ in }
  ) throws {
    var configuration = RelayConfiguration(listeners: listeners, backend: backend)
    switch layout {
    case .shared: (configuration.shards, configuration.threads, configuration.firehoseCore) = (1, .fixed(1), .shared)
    case .own: (configuration.shards, configuration.threads, configuration.firehoseCore) = (2, .fixed(2), .own)
    case .moving: (configuration.shards, configuration.threads, configuration.firehoseCore) = (4, .fixed(3), .moving)
    }
    // A session ends with its socket, and a new firehose begins with the first packet that waits; tests of staleness
    // and of the sweep ask for them.
    configuration.staleTimeout = .zero
    configuration.announce = false
    configuration.io = TestRelay.io
    configure(&configuration)
    relay = try Relay(configuration: configuration)
    try beforeItAccepts(relay)
    let secret = Vectors.shared["keys", "server_secret"]
    try relay.start(identity: SecretKey(bytes: secret.span.bytes))
    if layout == .moving { mover = Mover(relay) }
  }

  deinit {
    mover?.stop()
    relay.stop()
  }

  var endpoint: Endpoint { relay.endpoints[0] }

  /// What TEST_IO says: the same tests run over either of the system's kernels.
  static let io = getenv("TEST_IO").flatMap { KernelChoice(rawValue: String(cString: $0)) } ?? .auto

  func connect(receiveBuffer: Int32? = nil) throws -> RawSocket {
    try RawSocket(to: endpoint, receiveBuffer: receiveBuffer)
  }

  func client(receiveBuffer: Int32? = nil) throws -> RawClient {
    try RawClient(connect(receiveBuffer: receiveBuffer))
  }

  /// Waits until `condition` holds; false where it does not in time.
  func eventually(_ condition: () throws -> Bool) rethrows -> Bool {
    for _ in 0..<patience {
      if try condition() { return true }
      usleep(1000)
    }
    return false
  }

  /// What `connect` gives once it succeeds: the place of a client that has left comes free a little later.
  func eventuallyClient(_ connect: () throws -> RawClient) throws -> RawClient {
    for _ in 0..<patience {
      if let client = try? connect() { return client }
      usleep(1000)
    }
    return try connect()
  }

  func eventually(_ metric: Metric, is value: UInt64) -> Bool { eventually { relay[metric] == value } }

  /// Whether the drain comes to its end.
  func finishes() -> Bool { eventually { relay.isFinished } }
}

/// A relay with a backend that the test plays, connected.
struct Rig {
  let backend: RawBackend
  let test: TestRelay
  let firehose: Firehose
  var relay: Relay { test.relay }

  init(_ layout: Layout = .shared, configure: (inout RelayConfiguration) -> Void = { _ in }) throws {
    backend = try RawBackend()
    test = try TestRelay(layout, backend: backend.endpoint, configure: configure)
    firehose = try backend.accept()
    // What ends before that was no backend.
    guard test.eventually(.backendConnections, is: 1) else { throw SocketFailure.timeout("the backend's connection") }
  }

  init(backend: RawBackend, test: TestRelay, firehose: Firehose) {
    self.backend = backend
    self.test = test
    self.firehose = firehose
  }

  /// The same rig with the relay's next connection.
  init(_ rig: Rig, firehose: Firehose) {
    self.init(backend: rig.backend, test: rig.test, firehose: firehose)
  }

  /// Checks that `client` still has its packets carried both ways.
  func roundTrip(_ client: RawClient, _ data: [UInt8] = [1, 2, 3]) throws -> Bool {
    try client.send(data)
    guard try firehose.receive() == .data(client.id, data) else { return false }
    try firehose.send(.data(client.id, data))
    return try client.receive() == data
  }

  /// Checks that the relay ends `clients` in order: each receives `down` and a FIN, and the backend has `up` of each,
  /// and then its end.
  func expectEnds(of clients: [RawClient], up: [[UInt8]], down: [[UInt8]]) throws {
    let readers = clients.map { client in
      Background {
        for packet in down {
          guard try client.receive() == packet else { throw SocketFailure.timeout("the next packet") }
        }
        guard try client.socket.receiveToEnd() == ([], .fin) else { throw SocketFailure.timeout("the FIN") }
        client.socket.finish()
      }
    }
    var came: [UInt64: [[UInt8]]] = [:]
    for _ in 0..<(clients.count * (up.count + 1)) {
      let packet = try firehose.receive()
      came[packet.id, default: []].append(packet.flag == 0 ? packet.data : Array("end: ".utf8) + packet.data)
    }
    for client in clients { #expect(came[client.id] == up + [Array("end: relay draining".utf8)]) }
    for reader in readers { try reader.join() }
  }
}
