import VoltlaneCrypto
import VoltlaneWire

@testable import Relay

/// A relay in a simulation, its backend, and clients that can come back: the stage for tests of sessions.
final class SessionScene {
  let simulation: Simulation
  var backend: SimulatedBackend
  private let clientKey: SecretKey

  /// A client that the relay knows.
  struct Member {
    var client: SimulatedClient
    let id: UInt64
    var socket: SimulatedSocket { client.socket }
  }

  init(
    seed: UInt64 = 1, shards: Int = 2, firehoseCore: FirehoseCore = .own,
    configure: (inout RelayConfiguration) -> Void = { _ in }
  ) throws {
    simulation = try Simulation(seed: seed, shards: shards, firehoseCore: firehoseCore, configure: configure)
    // Until the backend's connection counts as one.
    simulation.pass(2 * Limits.probationFirst)
    backend = SimulatedBackend(simulation.backends.last!)
    // The secret half of the generator, which is the key that simulated clients show.
    clientKey = try SecretKey(bytes: (Array(repeating: 0 as UInt8, count: 31) + [1]).span.bytes)
  }

  func join(shard: Int = 0, address: ClientAddress? = nil) -> Member {
    let socket = simulation.connect(shard: shard, address: address)
    simulation.write(SimulatedClient.hello, to: socket)
    simulation.settle()
    var client = SimulatedClient(socket)
    let id = client.readHandshake()!
    return Member(client: client, id: id)
  }

  // MARK: The backend

  func send(_ id: UInt64, _ data: [UInt8], _ flag: SimulatedBackend.Flag = .data) {
    simulation.write(SimulatedBackend.packet(id, flag, data), to: backend.socket)
    simulation.settle()
  }

  /// The next packet that the backend has got.
  func next() -> SimulatedBackend.Packet? { backend.next() }

  func failure(_ id: UInt64, _ reason: String) -> SimulatedBackend.Packet {
    .init(id: id, flag: .failure, data: Array(reason.utf8))
  }

  func data(_ id: UInt64, _ data: [UInt8]) -> SimulatedBackend.Packet { .init(id: id, flag: .data, data: data) }

  func reconnection(_ id: UInt64) -> SimulatedBackend.Packet { .init(id: id, flag: .reconnection, data: []) }

  /// The backend's connection is reset; the relay dials again, and the next one counts as the backend's.
  func restartBackend() {
    simulation.reset(backend.socket)
    let connections = simulation[.backendConnections]
    while simulation[.backendConnections] == connections { simulation.pass(100 * Limits.millisecond) }
    backend = SimulatedBackend(simulation.backends.last!)
  }

  /// Six clients of two shards, the first three of which are away, and a backend that has started anew since.
  func restartBackendWithThreeOfSixAway(_ address: (Int) -> ClientAddress? = { _ in nil }) -> [Member] {
    let members = (0..<6).map { join(shard: $0 % 2, address: address($0)) }
    for member in members.prefix(3) { simulation.reset(member.socket) }
    simulation.settle()
    restartBackend()
    simulation.settle()
    return members
  }

  // MARK: Coming back

  /// An attempt to come back, as far as the challenge.
  final class Attempt {
    var client: SimulatedClient
    let id: UInt64
    var challenge: [UInt8]?

    init(_ client: SimulatedClient, _ id: UInt64) {
      self.client = client
      self.id = id
    }
    var socket: SimulatedSocket { client.socket }
  }

  func attempt(_ id: UInt64, shard: Int = 0, address: ClientAddress? = nil) -> Attempt {
    let socket = simulation.connect(shard: shard, address: address)
    simulation.write(
      FramedHandshakePacket.protocolVersion().bytes + FramedHandshakePacket.clientID(id).bytes, to: socket)
    simulation.settle()
    let attempt = Attempt(SimulatedClient(socket), id)
    _ = attempt.client.next()
    if let packet = attempt.client.next(),
      case .challenge(let range)? = try? HandshakePacket.decode(packet.span.bytes)
    {
      attempt.challenge = Array(packet[range])
    }
    return attempt
  }

  private var sessionKey: SessionKey { clientKey.sessionKey(with: simulation.identity.publicKey) }

  /// The right response to a challenge.
  func response(to challenge: [UInt8]) -> [UInt8] {
    let plain = SealedBox.open(challenge.span.bytes, key: sessionKey)!
    let nonce = SealedBox.Nonce(repeating: UInt8(truncatingIfNeeded: challenge[0] &+ 1))
    let box = SealedBox.seal(plain.span.bytes, key: sessionKey, nonce: nonce)
    return FramedHandshakePacket.challengeResponse(box.span.bytes).bytes
  }

  /// Response and ping, back to back, as clients in the field send them.
  func finish(_ attempt: Attempt, also data: [UInt8] = []) -> Member {
    simulation.write(
      response(to: attempt.challenge!) + FramedHandshakePacket.ping.bytes + data, to: attempt.socket)
    simulation.settle()
    return Member(client: attempt.client, id: attempt.id)
  }

  func comeBack(_ id: UInt64, shard: Int = 0, also data: [UInt8] = []) -> Member {
    finish(attempt(id, shard: shard), also: data)
  }
}
