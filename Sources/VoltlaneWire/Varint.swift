/// The variable-length integer of the handshake packets:
///
///     value < 251            u8
///     value < 2^16     251 | u16
///     value < 2^32     252 | u32
///     else             253 | u64
///
/// 254 and 255 are rejected. A longer form than needed is accepted, and never written.
public enum Varint {
  /// A value and how many bytes it took.
  public struct Decoded: Equatable, Sendable {
    public var value: UInt64
    public var byteCount: Int

    @inlinable
    init(value: UInt64, byteCount: Int) {
      self.value = value
      self.byteCount = byteCount
    }
  }

  /// The widest form that a field accepts.
  public enum Width: Sendable {
    /// Kinds and versions: the form 253 is rejected.
    case u32
    case u64
  }

  /// Reads the varint at `offset` of `bytes`.
  public static func decode(
    _ bytes: RawSpan, at offset: Int, width: Width
  ) throws(HandshakePacketError) -> Decoded {
    guard offset < bytes.byteCount else { throw .truncated }
    let first = bytes.byte(at: offset)
    let rest = bytes.byteCount - offset - 1
    switch first {
    case 0..<251:
      return Decoded(value: UInt64(first), byteCount: 1)
    case 251:
      guard rest >= 2 else { throw .truncated }
      return Decoded(value: UInt64(bytes.littleEndianUInt16(at: offset + 1)), byteCount: 3)
    case 252:
      guard rest >= 4 else { throw .truncated }
      return Decoded(value: UInt64(bytes.littleEndianUInt32(at: offset + 1)), byteCount: 5)
    case 253 where width == .u64:
      guard rest >= 8 else { throw .truncated }
      return Decoded(value: bytes.littleEndianUInt64(at: offset + 1), byteCount: 9)
    default:
      throw .invalidVarint(first)
    }
  }

  /// The shortest form of `value`.
  public static func encode(_ value: UInt64) -> [UInt8] {
    var packet = FramedHandshakePacket()
    packet.append(varint: value)
    return Array(packet.bytes.dropFirst(Wire.sizePrefix))
  }
}
