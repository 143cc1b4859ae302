import Glibc
import VoltlaneWire

/// The new client's handshake: version and key go in one write, then the relay's key and the client's id are awaited.
struct ClientHandshake {
  /// A valid point. Every client shows the same one: the relay has to check it each time all the same, and no client of
  /// a benchmark reconnects, so nobody needs the private key.
  private static let key: [UInt8] = [
    0x03, 0x25, 0xb4, 0xd5, 0xc7, 0x37, 0x33, 0x02, 0xff, 0x6d, 0x40, 0xbe, 0xa1, 0xfb, 0xde, 0xb2, 0x76, 0x60, 0xac,
    0x72, 0x37, 0x6d, 0x6d, 0x1c, 0x73, 0x0e, 0xc1, 0x73, 0xb7, 0x75, 0x2d, 0x36, 0x2d,
  ]

  /// What every new client says.
  static let greeting: [UInt8] =
    FramedHandshakePacket.protocolVersion().bytes + FramedHandshakePacket.publicKey(key.span.bytes).bytes

  private var received: [UInt8] = []
  private var hasRelayKey = false

  /// Takes what the relay sent; true when the client has its id.
  mutating func receive(_ bytes: UnsafeRawBufferPointer) throws(BenchError) -> Bool {
    received.append(contentsOf: bytes)
    while received.count >= Wire.sizePrefix {
      let size = Int(received.span.bytes.littleEndianUInt32(at: 0))
      guard size <= Wire.maxHandshakePacket else {
        throw BenchError("the relay sent a handshake packet of \(size) bytes")
      }
      guard received.count >= Wire.sizePrefix + size else { return false }
      let packet: HandshakePacket
      do {
        packet = try HandshakePacket.decode(
          received.span.bytes.extracting(Wire.sizePrefix..<(Wire.sizePrefix + size)))
      } catch {
        throw BenchError("the relay's handshake cannot be read: \(error)")
      }
      received.removeFirst(Wire.sizePrefix + size)
      switch packet {
      case .publicKey where !hasRelayKey:
        hasRelayKey = true
      case .clientID where hasRelayKey:
        guard received.isEmpty else { throw BenchError("the relay sent data to a client that has sent none") }
        return true
      default:
        throw BenchError("the relay's handshake is out of order: \(packet)")
      }
    }
    return false
  }
}
