import NIOCore
import Synchronization
import Testing
import VoltlaneCrypto
import VoltlaneNIO
import VoltlaneText
import VoltlaneWire

@testable import VoltlaneClient

/// A relay for one client, which answers the handshake and then does what the test says. Its keys and challenges are
/// real ones.
struct FakeRelay {
  static let clientID: UInt64 = 0xfeed_face_cafe_beef

  let listener: ByteListener
  let secret: SecretKey
  var key: PublicKey { secret.publicKey }

  static func start(on endpoint: Endpoint = .tcp(host: "127.0.0.1", port: 0)) async throws -> FakeRelay {
    FakeRelay(listener: try await ByteListener.start(on: endpoint), secret: try SecretKey.generate())
  }

  /// The packet with the relay's key.
  var keyPacket: [UInt8] { key.withCompressed { FramedHandshakePacket.publicKey($0) }.bytes }

  /// What the relay says during the handshake with a new client.
  var greeting: [UInt8] { keyPacket + FramedHandshakePacket.clientID(Self.clientID).bytes }

  /// A client and the relay's side of its connection, after the handshake.
  func connect(_ options: ClientOptions = patient) async throws -> (client: Client, peer: BytePeer) {
    let (client, peer, _) = try await connect(options, pacing: .real)
    return (client, peer)
  }

  /// The same, and the key of the session as the relay computes it.
  func connect(
    _ options: ClientOptions, pacing: Pacing
  ) async throws -> (client: Client, peer: BytePeer, sessionKey: SessionKey) {
    async let connecting = Client.connect(to: listener.endpoint, options: options, pacing: pacing)
    let (peer, sessionKey) = try await greet()
    return (try await connecting, peer, sessionKey)
  }

  /// Takes the next connection as that of a new client.
  func greet() async throws -> (peer: BytePeer, sessionKey: SessionKey) {
    let peer = await listener.accept()
    try await peer.write(greeting)
    // What the client said: its version, and a key.
    _ = await peer.readPacket()
    let key = try #require(await peer.readPacket())
    return (peer, secret.sessionKey(with: try PublicKey(sec1: key.span.bytes.extracting(2..<35))))
  }

  /// Takes the next connection up to where the client has said its id.
  func acceptReturning() async throws -> BytePeer {
    let peer = await listener.accept()
    #expect(await peer.readPacket() == [1, 2])
    try await peer.write(keyPacket)
    #expect(await peer.readPacket() == [3] + Varint.encode(Self.clientID))
    return peer
  }

  /// Takes the client of the next connection back; `behind` follows the ping.
  func takeBack(
    _ sessionKey: SessionKey, behind: [UInt8] = [],
    write: (BytePeer, [UInt8]) async throws -> Void = { try await $0.write($1) }
  ) async throws -> BytePeer {
    let peer = try await acceptReturning()
    let challenge = Challenge(sessionKey)
    try await write(peer, challenge.packet)
    challenge.check(response: await peer.readPacket())
    #expect(await peer.readPacket() == [0])
    try await write(peer, FramedHandshakePacket.ping.bytes + behind)
    return peer
  }

  /// The error with which connecting ends where the relay sends `bytes`, and then does `after`.
  func refusal(
    sending bytes: [UInt8], then after: (BytePeer) async throws -> Void = { _ in }
  ) async throws -> ClientError? {
    async let connecting = Client.connect(to: listener.endpoint, options: patient)
    let peer = await listener.accept()
    try await peer.write(bytes)
    try await after(peer)
    do {
      _ = try await connecting
      return nil
    } catch {
      return error as? ClientError
    }
  }
}

/// `bytes` with the size prefix before it.
func framed(_ bytes: [UInt8]) -> [UInt8] {
  Wire.sizePrefixBytes(bytes.count) + bytes
}

/// A framed tagged packet.
func tagged(_ id: UInt64, _ flag: PacketFlag, _ data: [UInt8] = []) -> [UInt8] {
  Tag(clientID: id, flag: flag).framed(dataCount: data.count) + data
}

/// A framed tagged packet with a flag of the extensions.
func tagged(_ id: UInt64, _ flag: ExtensionFlag, _ data: [UInt8] = []) -> [UInt8] {
  var bytes = tagged(id, PacketFlag.data, data)
  bytes[Wire.sizePrefix + 8] = flag.rawValue
  return bytes
}

/// Bytes that tell their place, so that a lost or moved one shows.
func pattern(_ count: Int) -> [UInt8] {
  var bytes: [UInt8] = []
  bytes.reserveCapacity(count)
  while bytes.count < count { bytes += onePattern.prefix(count - bytes.count) }
  return bytes
}

/// Of a prime length: no power of two of bytes can be missing unnoticed.
private let onePattern: [UInt8] = (0..<65_521).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ $0 >> 8) }

/// For tests that run beside many others on a busy machine.
let patient = ClientOptions(connectTimeout: .seconds(60), reconnection: nil)

/// The same, and the client comes back.
let persistent = ClientOptions(connectTimeout: .seconds(60))

/// Takes all of `packets`; the error that ended them, if one did.
func collect(_ packets: Packets) async -> (packets: [[UInt8]], error: ClientError?) {
  var collected: [[UInt8]] = []
  do {
    for try await packet in packets { collected.append(Array(buffer: packet)) }
    return (collected, nil)
  } catch {
    return (collected, error)
  }
}

/// A relay's challenge: 32 random bytes, sealed.
struct Challenge {
  let plain: [UInt8]
  let box: [UInt8]
  private let sessionKey: SessionKey

  init(_ sessionKey: SessionKey) {
    self.sessionKey = sessionKey
    let plain = (0..<SealedBox.plainByteCount).map { _ in UInt8.random(in: 0...255) }
    let sealed = SealedBox.seal(plain.span.bytes, key: sessionKey, nonce: SealedBox.Nonce { _ in .random(in: 0...255) })
    self.plain = plain
    box = sealed.indices.map { sealed[$0] }
  }

  var packet: [UInt8] { FramedHandshakePacket.challenge(box.span.bytes).bytes }

  /// The response opens to the same bytes, and is not the challenge sent back.
  func check(response: [UInt8]?) {
    guard let response, response.count == 74, response.prefix(2) == [5, 72] else {
      Issue.record("no response: \(response ?? [])")
      return
    }
    let answer = Array(response.dropFirst(2))
    let opened = SealedBox.open(answer.span.bytes, key: sessionKey)
    #expect(opened.map { opened in opened.indices.map { opened[$0] } } == plain)
    #expect(answer.suffix(24) != box.suffix(24))
  }
}

/// Time that passes only by sleeping, and chance that is always the same.
final class TestPacing: Sendable {
  private struct State {
    var now = ContinuousClock.now
    var sleeps: [Duration] = []
    var gates: [CheckedContinuation<Void, Never>] = []
    var isHeld = false
    var watchers: [(least: Duration, continuation: CheckedContinuation<Void, Never>)] = []
  }

  private let state = Mutex(State())
  private let fraction: Double

  init(fraction: Double = 1) {
    self.fraction = fraction
  }

  /// What was slept so far.
  var sleeps: [Duration] { state.withLock { $0.sleeps } }

  /// Returns once there has been a sleep of at least that.
  func sleep(ofAtLeast least: Duration) async {
    await withCheckedContinuation { continuation in
      let isOver = state.withLock { state in
        if state.sleeps.contains(where: { $0 >= least }) { return true }
        state.watchers.append((least, continuation))
        return false
      }
      if isOver { continuation.resume() }
    }
  }

  func pass(_ duration: Duration) {
    state.withLock { $0.now += duration }
  }

  /// Sleeps don't end until ``release()``.
  func hold() {
    state.withLock { $0.isHeld = true }
  }

  func release() {
    let gates = state.withLock { state in
      state.isHeld = false
      defer { state.gates = [] }
      return state.gates
    }
    for gate in gates { gate.resume() }
  }

  var pacing: Pacing {
    Pacing(
      now: { self.state.withLock { $0.now } },
      sleep: { duration in
        await withTaskCancellationHandler {
          await withCheckedContinuation { continuation in
            let (isHeld, watchers) = self.state.withLock { state in
              state.sleeps.append(duration)
              state.now += duration
              if state.isHeld { state.gates.append(continuation) }
              let watchers = state.watchers.filter { $0.least <= duration }
              state.watchers.removeAll { $0.least <= duration }
              return (state.isHeld, watchers)
            }
            for watcher in watchers { watcher.continuation.resume() }
            if !isHeld { continuation.resume() }
          }
        } onCancel: {
          self.release()
        }
        try Task.checkCancellation()
      },
      fraction: { self.fraction })
  }
}
