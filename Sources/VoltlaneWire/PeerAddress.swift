/// Where a client connects from, the data of a packet with the flag ``ExtensionFlag/address``:
///
///     0        1                 1 + n
///     +--------+-----------------+----------+
///     | family | n bytes address | u16 port |     4: n is 4; 6: n is 16; 0, unknown: n is 0
///     +--------+-----------------+----------+
///
/// The bytes of the address stand in the order in which people write them.
public enum PeerAddress: Equatable, Sendable {
  /// The 4 bytes of an IPv4 address.
  case v4([UInt8], port: UInt16)
  /// The 16 bytes of an IPv6 address.
  case v6([UInt8], port: UInt16)
  /// As of a client of a unix socket.
  case unknown

  /// Reads it; nil where it is of no known family or of the wrong length.
  public init?(_ data: RawSpan) {
    guard data.byteCount > 0 else { return nil }
    let (family, count) = (data.byte(at: 0), data.byteCount - 3)
    guard count == [4: 4, 6: 16, 0: 0][family] else { return nil }
    let bytes = (0..<count).map { data.byte(at: 1 + $0) }
    let port = UInt16(data.byte(at: 1 + count)) | UInt16(data.byte(at: 2 + count)) << 8
    switch family {
    case 4: self = .v4(bytes, port: port)
    case 6: self = .v6(bytes, port: port)
    default: self = .unknown
    }
  }
}
