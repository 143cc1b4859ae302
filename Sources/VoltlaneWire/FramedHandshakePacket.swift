/// A handshake packet with its size prefix, ready for the wire. A plain value of fixed size: making one allocates
/// nothing.
public struct FramedHandshakePacket: Sendable {
  @usableFromInline var storage = InlineArray<260, UInt8>(repeating: 0)
  /// Bytes written, including the size prefix.
  public private(set) var byteCount = Wire.sizePrefix

  init() {}

  public static var ping: FramedHandshakePacket {
    make(.ping)
  }

  public static func protocolVersion(_ version: UInt32 = Wire.protocolVersion) -> FramedHandshakePacket {
    make(.protocolVersion) { $0.append(varint: UInt64(version)) }
  }

  /// `point` is a SEC1 point of 33 or 65 bytes.
  public static func publicKey(_ point: RawSpan) -> FramedHandshakePacket {
    // It is the caller's key: one that came from outside has been decoded, and has one of these lengths.
    precondition(point.byteCount == 33 || point.byteCount == 65, "a SEC1 point has 33 or 65 bytes")
    var packet = make(.publicKey)
    packet.appendField(point)
    return packet
  }

  public static func clientID(_ id: UInt64) -> FramedHandshakePacket {
    make(.clientID) { $0.append(varint: id) }
  }

  /// `box` is a sealed box of 72 bytes.
  public static func challenge(_ box: RawSpan) -> FramedHandshakePacket {
    sealed(.challenge, box)
  }

  /// `box` is a sealed box of 72 bytes.
  public static func challengeResponse(_ box: RawSpan) -> FramedHandshakePacket {
    sealed(.challengeResponse, box)
  }

  /// The bytes for the wire, size prefix first.
  public var bytes: [UInt8] {
    (0..<byteCount).map { storage[$0] }
  }

  /// The byte at `index` of ``bytes``.
  @inlinable
  public subscript(index: Int) -> UInt8 { storage[index] }

  private static func sealed(_ kind: HandshakePacket.Kind, _ box: RawSpan) -> FramedHandshakePacket {
    // A box that was sealed here.
    precondition(box.byteCount == Wire.sealedChallenge, "a sealed challenge has 72 bytes")
    var packet = make(kind)
    packet.appendField(box)
    return packet
  }

  private static func make(
    _ kind: HandshakePacket.Kind, _ fields: (inout FramedHandshakePacket) -> Void = { _ in }
  ) -> FramedHandshakePacket {
    var packet = FramedHandshakePacket()
    packet.append(varint: kind.rawValue)
    fields(&packet)
    packet.writeSize()
    return packet
  }

  private mutating func appendField(_ field: RawSpan) {
    append(varint: UInt64(field.byteCount))
    for index in 0..<field.byteCount { append(field.byte(at: index)) }
    writeSize()
  }

  mutating func append(varint value: UInt64) {
    switch value {
    case 0..<251:
      append(UInt8(value))
    case 251...0xffff:
      append(251)
      append(littleEndian: value, byteCount: 2)
    case 0x1_0000...0xffff_ffff:
      append(252)
      append(littleEndian: value, byteCount: 4)
    default:
      append(253)
      append(littleEndian: value, byteCount: 8)
    }
  }

  private mutating func append(littleEndian value: UInt64, byteCount: Int) {
    for index in 0..<byteCount { append(UInt8(truncatingIfNeeded: value >> UInt64(8 * index))) }
  }

  private mutating func append(_ byte: UInt8) {
    storage[byteCount] = byte
    byteCount += 1
  }

  private mutating func writeSize() {
    let size = UInt32(byteCount - Wire.sizePrefix)
    for index in 0..<Wire.sizePrefix { storage[index] = UInt8(truncatingIfNeeded: size >> UInt32(8 * index)) }
  }
}
