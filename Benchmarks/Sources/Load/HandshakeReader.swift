import Glibc
import VoltlaneWire

/// Cuts what the relay sends in a handshake into packets.
struct HandshakeReader {
  private var received: [UInt8] = []

  var isEmpty: Bool { received.isEmpty }

  mutating func append(_ bytes: UnsafeRawBufferPointer) { received.append(contentsOf: bytes) }

  /// The next whole packet, and its data.
  mutating func next() throws(BenchError) -> (packet: HandshakePacket, data: [UInt8])? {
    guard received.count >= Wire.sizePrefix else { return nil }
    let size = Int(received.span.bytes.littleEndianUInt32(at: 0))
    guard size <= Wire.maxHandshakePacket else {
      throw BenchError("the relay sent a handshake packet of \(size) bytes")
    }
    guard received.count >= Wire.sizePrefix + size else { return nil }
    let data = Array(received[Wire.sizePrefix..<(Wire.sizePrefix + size)])
    received.removeFirst(Wire.sizePrefix + size)
    do {
      return (try HandshakePacket.decode(data.span.bytes), data)
    } catch {
      throw BenchError("the relay's handshake cannot be read: \(error)")
    }
  }
}
