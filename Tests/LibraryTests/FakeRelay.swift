import NIOCore
import VoltlaneClient
import VoltlaneCrypto
import VoltlaneNIO
import VoltlaneWire

/// A relay for one client, which answers the handshake and then does what the test says.
struct FakeRelay {
  static let clientID: UInt64 = 0xfeed_face_cafe_beef

  let listener: ByteListener
  let key: PublicKey

  static func start(on endpoint: Endpoint = .tcp(host: "127.0.0.1", port: 0)) async throws -> FakeRelay {
    FakeRelay(listener: try await ByteListener.start(on: endpoint), key: try SecretKey.generate().publicKey)
  }

  /// What the relay says during the handshake.
  var greeting: [UInt8] {
    key.withCompressed { FramedHandshakePacket.publicKey($0) }.bytes
      + FramedHandshakePacket.clientID(Self.clientID).bytes
  }

  /// A client and the relay's side of its connection, after the handshake.
  func connect(_ options: ClientOptions = patient) async throws -> (client: Client, peer: BytePeer) {
    async let connecting = Client.connect(to: listener.endpoint, options: options)
    let peer = await listener.accept()
    try await peer.write(greeting)
    let client = try await connecting
    // What the client said: its version, and a key.
    _ = await peer.readPacket()
    _ = await peer.readPacket()
    return (client, peer)
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
let patient = ClientOptions(connectTimeout: .seconds(60))

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
