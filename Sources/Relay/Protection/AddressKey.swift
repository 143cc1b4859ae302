import CLinux

/// One address as limits see it, in 64 bits: anyone who has one of the addresses behind a key has them all, or could.
///
///     IPv6                    the first 64 bits of the address, a /64
///     IPv4, and IPv6 forms    0xffffff and the form, then the IPv4 address: no source of a connection begins with ff
///     fe80::/10, link-local   the first 10 bits, then a hash of the rest: neighbours on a link share their first 64
///
/// Translators and tunnels put whole networks of IPv4 clients into one /64, so these are identified by the IPv4 address
/// inside theirs. That is a key of its own and not the key of the IPv4 address: making up such addresses gets nobody
/// refused whose IPv4 address they name. ISATAP is not among the forms, because its addresses can lie in anybody's /64.
/// 0 for a unix socket.
public struct AddressKey: Hashable, Sendable, BitwiseCopyable {
  let bits: UInt64

  public static let none = AddressKey(bits: 0)

  init(bits: UInt64) { self.bits = bits }

  /// IPv4 addresses, by themselves and inside IPv6 addresses. The number is the upper half of the key.
  enum Form: UInt32, CaseIterable {
    case v4 = 0xffff_ffff
    /// 64:ff9b::/96, of translators between IPv4 and IPv6 (RFC 6052).
    case nat64 = 0xffff_ff01
    /// 64:ff9b:1::/48, the same for private networks (RFC 8215), with the IPv4 address at the end.
    case localNAT64 = 0xffff_ff02
    /// The same with the IPv4 address in one of the earlier positions.
    case shiftedNAT64 = 0xffff_ff03
    /// ::ffff:0:0:0/96, of stateless translators.
    case siit = 0xffff_ff04
    /// 2002::/16: the owner of the IPv4 address has the whole /48.
    case sixToFour = 0xffff_ff05
    /// 2001::/32: the client's IPv4 address is at the end, with its bits inverted.
    case teredo = 0xffff_ff06
    /// ::/96, addresses of IPv4 hosts from the first days of IPv6.
    case compatible = 0xffff_ff07
  }

  init(_ form: Form, _ v4: UInt32) { bits = UInt64(form.rawValue) << 32 | UInt64(v4) }

  fileprivate init(linkLocal interface: UInt64) {
    var hash = interface ^ interface >> 32
    hash &*= 0x9e37_79b9_7f4a_7c15
    bits = AddressKey.linkLocalBits << 54 | (hash ^ hash >> 29) >> 10
  }

  fileprivate static let linkLocalBits: UInt64 = 0xfe80 >> 6

  var isLinkLocal: Bool { bits >> 54 == AddressKey.linkLocalBits }

  var form: Form? { Form(rawValue: UInt32(truncatingIfNeeded: bits >> 32)) }

  private var v4: UInt32 { UInt32(truncatingIfNeeded: bits) }

  /// Its network: a /24 of IPv4 addresses, also inside IPv6 ones, or an IPv6 /56. All link-local addresses are one
  /// network.
  var prefix: UInt64 { isLinkLocal ? AddressKey.linkLocalBits << 46 : bits >> 8 }
}

extension ClientAddress {
  /// What limits treat as one address.
  var key: AddressKey {
    if isIPv4 { return AddressKey(.v4, v4) }
    if let form { return AddressKey(form, embedded(form)) }
    if bits >> 118 == UInt128(AddressKey.linkLocalBits) {
      return AddressKey(linkLocal: UInt64(truncatingIfNeeded: bits))
    }
    return AddressKey(bits: UInt64(truncatingIfNeeded: bits >> 64))
  }

  /// All addresses that have this key or, if they are not a range, a range that contains them.
  var alike: ClosedRange<UInt128> {
    func network(_ length: Int) -> ClosedRange<UInt128> {
      let host = UInt128.max >> UInt128(length)
      return (bits & ~host)...(bits | host)
    }
    switch key.form {
    case .v4, .nat64, .siit, .compatible: return network(128)
    case .localNAT64, .shiftedNAT64, .sixToFour: return network(48)
    case .teredo: return network(32)
    case nil: return network(key.isLinkLocal ? 128 : 64)
    }
  }

  private var v4: UInt32 { UInt32(truncatingIfNeeded: bits) }

  /// The form of an IPv6 address that has an IPv4 address inside.
  private var form: AddressKey.Form? {
    switch UInt32(truncatingIfNeeded: bits >> 96) {
    case 0x0064_ff9b:
      if bits >> 32 == 0x0064_ff9b << 64 { return .nat64 }
      guard bits >> 80 == 0x0064_ff9b_0001 else { return nil }
      // In the earlier positions, zeros follow it.
      return bits & 0xff_ffff == 0 ? .shiftedNAT64 : .localNAT64
    case 0x2001_0000: return .teredo
    case 0x2002_0000...0x2002_ffff: return .sixToFour
    case 0:
      if bits >> 32 == 0xffff_0000 { return .siit }
      // What remains of ::/96 is the loopback and similar addresses.
      return bits >> 32 == 0 && bits > 0xffff ? .compatible : nil
    default: return nil
    }
  }

  private func embedded(_ form: AddressKey.Form) -> UInt32 {
    switch form {
    case .v4, .nat64, .localNAT64, .siit, .compatible: return v4
    case .sixToFour: return UInt32(truncatingIfNeeded: bits >> 80)
    case .teredo: return ~v4
    case .shiftedNAT64:
      // After 64, 56 or 48 bits, leaving out the bits 64 to 71 (RFC 6052, 2.2).
      let behind64 = UInt32(truncatingIfNeeded: bits >> 24)
      if behind64 & 0xff != 0 { return behind64 }
      let before64 = UInt32(truncatingIfNeeded: bits >> 64) & 0xffff
      return behind64 & 0xffff == 0 ? before64 << 16 | behind64 >> 16 : (before64 & 0xff) << 24 | behind64 >> 8
    }
  }
}

extension AddressKey: CustomStringConvertible {
  /// `192.0.2.1`, or `2001:db8:0:1::/64`; `unix` for a unix socket.
  public var description: String {
    func groups(_ value: UInt64, _ count: Int) -> String {
      (0..<count).map { String(value >> UInt64(16 * (count - 1 - $0)) & 0xffff, radix: 16) }.joined(separator: ":")
    }
    if self == .none { return "unix" }
    let quad = [24, 16, 8, 0].map { String(v4 >> $0 & 0xff) }.joined(separator: ".")
    switch form {
    case .v4: return quad
    case .nat64: return "64:ff9b::\(quad)"
    case .localNAT64, .shiftedNAT64: return "\(quad) in 64:ff9b:1::/48"
    case .siit: return "::ffff:0:\(quad)"
    case .sixToFour: return "2002:\(groups(UInt64(v4), 2))::/48"
    case .teredo: return "\(quad) in 2001::/32 (Teredo)"
    case .compatible: return "::\(quad)"
    case nil: return isLinkLocal ? "one address of fe80::/10" : "\(groups(bits, 4))::/64"
    }
  }
}

// MARK: For the kernel

extension AddressKey {
  /// Whether ``source`` can express it.
  var canBeShunned: Bool { !isLinkLocal && form != .shiftedNAT64 }

  /// The source addresses of the key as a filter in the kernel can express them; nil if it cannot.
  var source: voltlane_source? {
    guard canBeShunned else { return nil }
    var source = voltlane_source()
    source.is_ipv4 = form == .v4
    // The part that differs most comes first.
    switch form {
    case .v4: source.match(word: v4, at: 0)
    case .nat64, .compatible:
      source.match(word: v4, at: 12)
      source.match(word: form == .nat64 ? 0x0064_ff9b : 0, at: 0)
      source.match(word: 0, at: 4)
      source.match(word: 0, at: 8)
    case .localNAT64:
      source.match(word: v4, at: 12)
      source.match(word: 0x0064_ff9b, at: 0)
      source.match(half: 1, at: 4)
    case .siit:
      source.match(word: v4, at: 12)
      source.match(word: 0xffff_0000, at: 8)
      source.match(word: 0, at: 0)
      source.match(word: 0, at: 4)
    case .sixToFour:
      source.match(word: 0x2002_0000 | v4 >> 16, at: 0)
      source.match(half: v4 & 0xffff, at: 4)
    case .teredo:
      source.match(word: ~v4, at: 12)
      source.match(word: 0x2001_0000, at: 0)
    case .shiftedNAT64, nil:
      source.match(word: UInt32(truncatingIfNeeded: bits >> 32), at: 0)
      source.match(word: v4, at: 4)
    }
    return source
  }
}

extension voltlane_source {
  fileprivate mutating func match(word: UInt32, at offset: Int32) { voltlane_add_match(&self, offset, 4, word) }

  fileprivate mutating func match(half: UInt32, at offset: Int32) { voltlane_add_match(&self, offset, 2, half) }
}
