/// What a tagged packet is about.
public enum PacketFlag: UInt8, Sendable, BitwiseCopyable, CaseIterable {
  /// The client's packet, unchanged. Both directions.
  case data = 0
  /// The session is over; the data is a UTF-8 reason. Relay to backend.
  case failure = 1
  /// End this session. Backend to relay; any data is ignored.
  case kick = 2
  /// The client came back. Relay to backend, no data.
  case reconnection = 3
}

/// The end of the firehose that a tagged packet was written by.
public enum FirehoseEnd: Sendable {
  case relay
  case backend

  /// Whether this end sends packets with this flag. The compiler asks for every flag, and makes one test of it.
  @inlinable @inline(__always)
  public func sends(_ flag: PacketFlag) -> Bool {
    switch flag {
    case .data: true
    case .failure, .reconnection: self == .relay
    case .kick: self == .backend
    }
  }
}

/// Why a tagged packet is skipped. Its length is known, so the stream stays in step.
public enum TaggedPacketError: Error, Equatable, Sendable {
  /// Shorter than the 9 bytes of its tag; `count` is its length in bytes.
  case tooShort(count: Int)
  case unknownFlag(UInt8)
  /// A flag that this end never sends, such as a kick from the relay.
  case wrongDirection(PacketFlag)
}

extension TaggedPacketError: CustomStringConvertible {
  public var description: String {
    switch self {
    case .tooShort(let count): "a tagged packet of \(count) bytes is shorter than its tag of \(Wire.tag)"
    case .unknownFlag(let flag): "a tagged packet has the unknown flag \(flag)"
    case .wrongDirection(let flag): "a tagged packet has the flag '\(flag)', which is not for this direction"
    }
  }
}

/// The tag of a packet on the firehose:
///
///     0               8      9
///     +---------------+------+---- - -
///     | u64 client id | flag | data
///     +---------------+------+---- - -
public struct Tag: Equatable, Sendable, BitwiseCopyable {
  public var clientID: UInt64
  public var flag: PacketFlag

  @inlinable
  public init(clientID: UInt64, flag: PacketFlag) {
    self.clientID = clientID
    self.flag = flag
  }

  /// Reads the tag at the start of `packet`, the data of one size-prefixed packet that `sender` wrote; nil where it is
  /// malformed, and ``decode(_:from:)`` says in what way. For readers of very many: a throw costs something even
  /// where it does not happen.
  @inlinable
  public init?(_ packet: RawSpan, from sender: FirehoseEnd) {
    guard packet.byteCount >= Wire.tag else { return nil }
    guard let flag = PacketFlag(rawValue: packet.byte(at: Wire.clientID)), sender.sends(flag) else {
      return nil
    }
    self.init(clientID: packet.littleEndianUInt64(at: 0), flag: flag)
  }

  /// Reads the tag at the start of `packet`, the data of one size-prefixed packet that `sender` wrote.
  public static func decode(_ packet: RawSpan, from sender: FirehoseEnd) throws(TaggedPacketError) -> Tag {
    if let tag = Tag(packet, from: sender) { return tag }
    guard packet.byteCount >= Wire.tag else { throw .tooShort(count: packet.byteCount) }
    let raw = packet.byte(at: Wire.clientID)
    guard let flag = PacketFlag(rawValue: raw) else { throw .unknownFlag(raw) }
    throw .wrongDirection(flag)
  }

  /// The size prefix and the tag of a packet with `count` bytes of data: what goes on the wire before the data.
  public func framed(dataCount count: Int) -> [UInt8] {
    var bytes = Wire.sizePrefixBytes(Wire.tag + count)
    bytes.reserveCapacity(Wire.taggedHeader)
    for shift in stride(from: 0, to: 64, by: 8) { bytes.append(UInt8(truncatingIfNeeded: clientID >> UInt64(shift))) }
    bytes.append(flag.rawValue)
    return bytes
  }
}
