/// Where a client connects from, as the backend is told in a 0x07 with `--addresses on`. ``PeerAddress`` in
/// VoltlaneWire reads it:
///
///     0        1                 1 + n
///     +--------+-----------------+----------+
///     | family | n bytes address | u16 port |     4: n is 4; 6: n is 16; 0, unknown: n is 0
///     +--------+-----------------+----------+
///
/// All zero bits, as in memory that was never used, are an unknown one.
struct ClientOrigin: BitwiseCopyable, Equatable {
  private let high: UInt64
  private let low: UInt64
  private let port: UInt16

  static let unknown = ClientOrigin(.none, port: 0)

  init(_ address: ClientAddress, port: UInt16) {
    high = UInt64(truncatingIfNeeded: address.bits >> 64)
    low = UInt64(truncatingIfNeeded: address.bits)
    self.port = port
  }

  /// The most bytes that it takes.
  static let longest = 19

  /// The bytes of the 0x07, and how many there are.
  var encoded: (bytes: InlineArray<19, UInt8>, count: Int) {
    let address = ClientAddress(bits: UInt128(high) << 64 | UInt128(low))
    let (family, size): (UInt8, Int) = address == .none ? (0, 0) : address.isIPv4 ? (4, 4) : (6, 16)
    var bytes = InlineArray<19, UInt8>(repeating: 0)
    bytes[0] = family
    // The last ones: of an IPv4 address, those that follow ::ffff.
    for index in 0..<size { bytes[size - index] = UInt8(truncatingIfNeeded: address.bits >> UInt128(8 * index)) }
    let said = size > 0 ? port : 0
    bytes[1 + size] = UInt8(truncatingIfNeeded: said)
    bytes[2 + size] = UInt8(truncatingIfNeeded: said >> 8)
    return (bytes, 3 + size)
  }
}
