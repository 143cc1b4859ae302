import Glibc
import VoltlaneCrypto
import VoltlaneWire

/// The key of all clients of a storm: one, so that its shared secret with the relay is computed once here, while the
/// relay has to do it for each session.
final class StormKey {
  private let secret: SecretKey
  private var shared: SessionKey?
  /// What a new client says.
  let greeting: [UInt8]

  init() throws(BenchError) {
    do {
      secret = try SecretKey.generate()
    } catch {
      throw BenchError("no key can be made: \(error)")
    }
    greeting =
      FramedHandshakePacket.protocolVersion().bytes
      + secret.publicKey.withCompressed { FramedHandshakePacket.publicKey($0) }.bytes
  }

  func sessionKey(relayKey: RawSpan) throws(BenchError) -> SessionKey {
    if let shared { return shared }
    let relay: PublicKey
    do {
      relay = try PublicKey(sec1: relayKey)
    } catch {
      throw BenchError("the relay's key is none: \(error)")
    }
    let key = secret.sessionKey(with: relay)
    shared = key
    return key
  }
}

/// A returning client's handshake: version and id go in one write, the challenge is answered, and the ping that comes
/// back says that the session has this socket.
struct Comeback {
  enum Step {
    case more
    case send([UInt8])
    case done
  }

  private let key: StormKey
  private var reader = HandshakeReader()
  private var sessionKey: SessionKey?
  private var hasAnswered = false

  init(_ key: StormKey) {
    self.key = key
  }

  static func greeting(_ id: UInt64) -> [UInt8] {
    FramedHandshakePacket.protocolVersion().bytes + FramedHandshakePacket.clientID(id).bytes
  }

  mutating func receive(_ bytes: UnsafeRawBufferPointer) throws(BenchError) -> Step {
    reader.append(bytes)
    while let (packet, data) = try reader.next() {
      switch packet {
      case .publicKey(let place) where sessionKey == nil:
        sessionKey = try key.sessionKey(relayKey: data.span.bytes.extracting(place))
      case .challenge(let place) where sessionKey != nil && !hasAnswered:
        hasAnswered = true
        return .send(try answer(data.span.bytes.extracting(place)))
      case .ping where hasAnswered:
        return .done
      default:
        throw BenchError("the relay's handshake is out of order: \(packet)")
      }
    }
    return .more
  }

  private func answer(_ challenge: RawSpan) throws(BenchError) -> [UInt8] {
    guard let sessionKey, let plain = SealedBox.open(challenge, key: sessionKey) else {
      throw BenchError("the relay's challenge cannot be opened")
    }
    let box = withUnsafeBytes(of: plain) { SealedBox.seal($0.bytes, key: sessionKey, nonce: SecureRandom.bytes()) }
    return withUnsafeBytes(of: box) { FramedHandshakePacket.challengeResponse($0.bytes) }.bytes
      + FramedHandshakePacket.ping.bytes
  }
}
