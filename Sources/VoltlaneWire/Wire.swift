/// Numbers that the protocol fixes. Sizes are bytes; every integer on the wire is little-endian.
public enum Wire {
  /// The `u32 size` before every packet on both links. It does not count itself.
  public static let sizePrefix = 4

  /// The `u64 client id` of a tag.
  public static let clientID = 8

  /// The `u64 client id | u8 flag` at the start of every packet on the firehose.
  public static let tag = 9

  /// What stands before the data of a packet on the firehose: its size prefix and its tag.
  @inlinable public static var taggedHeader: Int { sizePrefix + tag }

  /// What the relay accepts from a client by default: with its tag exactly 8 MiB, the most that the backends in the
  /// field accept.
  public static let defaultMaxPacketSize = 8_388_599

  /// The range of the largest packet of a client. With its tag it must fit the u32 size, and no buffer of the libraries
  /// holds more than 4 GiB; a quarter of that is beyond any use.
  public static let maxPacketSizes = 1...(1 << 30)

  /// The largest `size` a handshake packet may declare.
  public static let maxHandshakePacket = 256

  /// The version of the client handshake that this module speaks.
  public static let protocolVersion: UInt32 = 2

  /// A sealed challenge or response: 32 bytes, a 16-byte tag and a 24-byte nonce.
  public static let sealedChallenge = 72

  /// The size prefix of a packet with `count` bytes of data, as the four bytes that precede it.
  @inlinable
  public static func sizePrefixBytes(_ count: Int) -> [UInt8] {
    let size = UInt32(count)
    return [
      UInt8(truncatingIfNeeded: size), UInt8(truncatingIfNeeded: size >> 8),
      UInt8(truncatingIfNeeded: size >> 16), UInt8(truncatingIfNeeded: size >> 24),
    ]
  }
}
