/// Where a client connects from: 128 bits, an IPv4 address as the IPv6 one that stands for it (::ffff:a.b.c.d).
struct ClientAddress: Equatable, Sendable, BitwiseCopyable {
  let bits: UInt128

  /// What the peer of a unix socket has.
  static let none = ClientAddress(bits: 0)

  init(bits: UInt128) { self.bits = bits }

  init(v4: UInt32) { bits = ClientAddress.v4Network | UInt128(v4) }

  private static let v4Network: UInt128 = 0xffff << 32

  var isIPv4: Bool { bits >> 32 == 0xffff }

  /// 127.0.0.0/8 and ::1.
  var isLoopback: Bool { bits >> 24 == 0xffff << 8 | 127 || bits == 1 }

  /// What limits take for one address.
  var key: AddressKey {
    isIPv4
      ? AddressKey(bits: 0xffff_ffff << 32 | UInt64(truncatingIfNeeded: bits) & 0xffff_ffff)
      : AddressKey(bits: UInt64(truncatingIfNeeded: bits >> 64))
  }

  /// All addresses that have that key.
  var alike: ClosedRange<UInt128> {
    isIPv4 ? bits...bits : (bits & ~UInt128(UInt64.max))...(bits | UInt128(UInt64.max))
  }
}

/// One address as limits see it: an IPv4 address, under 32 one bits so that it equals no IPv6 one, or the first 64 bits
/// of an IPv6 address, because who has one of these has all. 0 for a unix socket.
public struct AddressKey: Hashable, Sendable, BitwiseCopyable {
  let bits: UInt64

  static let none = AddressKey(bits: 0)

  /// Its /24, or the /56 of an IPv6 address.
  var prefix: UInt64 { bits >> 8 }
}

extension AddressKey: CustomStringConvertible {
  /// `192.0.2.1`, or `2001:db8:0:1::/64`.
  public var description: String {
    if bits >> 32 == 0xffff_ffff {
      return [24, 16, 8, 0].map { String(bits >> $0 & 0xff) }.joined(separator: ".")
    }
    return [48, 32, 16, 0].map { String(bits >> $0 & 0xffff, radix: 16) }.joined(separator: ":") + "::/64"
  }
}
