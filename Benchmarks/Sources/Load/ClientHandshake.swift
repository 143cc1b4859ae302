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

  private var reader = HandshakeReader()
  private var hasRelayKey = false

  /// Takes what the relay sent; returns the client's id when it has come.
  mutating func receive(_ bytes: UnsafeRawBufferPointer) throws(BenchError) -> UInt64? {
    reader.append(bytes)
    while let (packet, _) = try reader.next() {
      switch packet {
      case .publicKey where !hasRelayKey:
        hasRelayKey = true
      case .clientID(let id) where hasRelayKey:
        guard reader.isEmpty else { throw BenchError("the relay sent data to a client that has sent none") }
        return id
      default:
        throw BenchError("the relay's handshake is out of order: \(packet)")
      }
    }
    return nil
  }
}
