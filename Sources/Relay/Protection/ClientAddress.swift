/// Where a client connects from: 128 bits, with an IPv4 address as the IPv6 one that stands for it (::ffff:a.b.c.d).
struct ClientAddress: Equatable, Sendable, BitwiseCopyable {
  let bits: UInt128

  /// The address of a unix socket's peer.
  static let none = ClientAddress(bits: 0)

  init(bits: UInt128) { self.bits = bits }

  init(v4: UInt32) { bits = ClientAddress.v4Network | UInt128(v4) }

  private static let v4Network: UInt128 = 0xffff << 32

  var isIPv4: Bool { bits >> 32 == 0xffff }

  /// 127.0.0.0/8 and ::1.
  var isLoopback: Bool { bits >> 24 == 0xffff << 8 | 127 || bits == 1 }
}
