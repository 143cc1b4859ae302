/// Why a handshake packet is rejected.
public enum HandshakePacketError: Error, Equatable, Sendable {
  /// The packet ends before its fields do.
  case truncated
  /// A varint starts with this byte, which its field does not accept.
  case invalidVarint(UInt8)
  case unknownKind(UInt64)
  /// A public key of this many bytes, or with a tag that does not match its length.
  case invalidPublicKey(byteCount: UInt64, tag: UInt8?)
  /// A sealed challenge or response of this many bytes instead of 72.
  case invalidSealedBox(byteCount: UInt64)
  /// A size prefix above 256.
  case tooLarge(byteCount: Int)
}

extension HandshakePacketError: CustomStringConvertible {
  public var description: String {
    switch self {
    case .truncated: "the handshake packet ends before its fields do"
    case .invalidVarint(let byte): "a varint of the handshake starts with \(byte), which its field does not accept"
    case .unknownKind(let kind): "the handshake packet has the unknown kind \(kind)"
    case .invalidPublicKey(let count, nil): "a public key of \(count) bytes; 33 or 65 are allowed"
    case .invalidPublicKey(let count, let tag?):
      "a public key of \(count) bytes with the tag \(tag); 33 bytes go with 2 or 3, 65 with 4"
    case .invalidSealedBox(let count): "a sealed box of \(count) bytes; \(Wire.sealedChallenge) are allowed"
    case .tooLarge(let count): "a handshake packet of \(count) bytes; at most \(Wire.maxHandshakePacket) are allowed"
    }
  }
}

/// One packet of the client handshake. Byte fields are given by their position in the packet's data, so that reading
/// one copies and allocates nothing.
///
///     varint kind | fields            (what stands after the fields is ignored)
public enum HandshakePacket: Equatable, Sendable {
  case ping
  case protocolVersion(UInt32)
  /// A SEC1 secp256k1 point: 33 bytes with tag 2 or 3, or 65 with tag 4. Whether it lies on the curve is not checked.
  case publicKey(Range<Int>)
  case clientID(UInt64)
  case challenge(Range<Int>)
  case challengeResponse(Range<Int>)

  /// The first field of every packet.
  @usableFromInline
  enum Kind: UInt64 {
    case ping = 0
    case protocolVersion, publicKey, clientID, challenge, challengeResponse
  }

  /// Reads `packet`, the data of one size-prefixed packet.
  public static func decode(_ packet: RawSpan) throws(HandshakePacketError) -> HandshakePacket {
    guard packet.byteCount <= Wire.maxHandshakePacket else { throw .tooLarge(byteCount: packet.byteCount) }
    let kind = try Varint.decode(packet, at: 0, width: .u32)
    let offset = kind.byteCount
    switch Kind(rawValue: kind.value) {
    case .ping:
      return .ping
    case .protocolVersion:
      return .protocolVersion(UInt32(truncatingIfNeeded: try Varint.decode(packet, at: offset, width: .u32).value))
    case .clientID:
      return .clientID(try Varint.decode(packet, at: offset, width: .u64).value)
    case .publicKey:
      return .publicKey(try publicKeyField(packet, at: offset))
    case .challenge:
      return .challenge(try sealedBoxField(packet, at: offset))
    case .challengeResponse:
      return .challengeResponse(try sealedBoxField(packet, at: offset))
    case nil:
      throw .unknownKind(kind.value)
    }
  }

  private static func publicKeyField(_ packet: RawSpan, at offset: Int) throws(HandshakePacketError) -> Range<Int> {
    let count = try Varint.decode(packet, at: offset, width: .u64)
    guard count.value == 33 || count.value == 65 else { throw .invalidPublicKey(byteCount: count.value, tag: nil) }
    let range = try field(packet, at: offset + count.byteCount, count: Int(count.value))
    let tag = packet.byte(at: range.lowerBound)
    guard count.value == 33 ? tag == 2 || tag == 3 : tag == 4 else {
      throw .invalidPublicKey(byteCount: count.value, tag: tag)
    }
    return range
  }

  private static func sealedBoxField(_ packet: RawSpan, at offset: Int) throws(HandshakePacketError) -> Range<Int> {
    let count = try Varint.decode(packet, at: offset, width: .u64)
    guard count.value == UInt64(Wire.sealedChallenge) else { throw .invalidSealedBox(byteCount: count.value) }
    return try field(packet, at: offset + count.byteCount, count: Wire.sealedChallenge)
  }

  private static func field(_ packet: RawSpan, at start: Int, count: Int) throws(HandshakePacketError) -> Range<Int> {
    guard packet.byteCount - start >= count else { throw .truncated }
    return start..<(start + count)
  }
}
