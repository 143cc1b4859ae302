/// A range of addresses to compare sessions with, of which the relay remembers only what limits see as one address.
public struct AddressRange: BitwiseCopyable, Sendable {
  private let low: UInt128
  private let high: UInt128

  public init(_ network: Network) {
    low = network.addresses.lowerBound
    high = network.addresses.upperBound
  }

  /// Whether a client with this key is meant. With a range that is smaller than what the key stands for, such as one
  /// address of a /64, all clients of the key are: limits treat them as one, too. A key that stands for a whole network
  /// of strangers (all link-local addresses, say) has to be in the range as a whole.
  public func contains(_ key: AddressKey) -> Bool {
    guard let (addresses, isOneOwner) = key.addresses else { return false }
    if low <= addresses.lowerBound, addresses.upperBound <= high { return true }
    return isOneOwner && low <= addresses.upperBound && addresses.lowerBound <= high
  }
}

extension AddressKey {
  /// Addresses that have this key, or a range that contains them; and whether they all belong to one owner. nil for a
  /// unix socket. (The key of ::1 is the same.)
  var addresses: (range: ClosedRange<UInt128>, isOneOwner: Bool)? {
    let v4 = UInt128(bits & 0xffff_ffff)
    func network(_ first: UInt128, _ length: UInt128) -> ClosedRange<UInt128> {
      first...(first | UInt128.max >> length)
    }
    switch form {
    case .v4: return (network(0xffff << 32 | v4, 128), true)
    case .nat64: return (network(0x0064_ff9b << 96 | v4, 128), true)
    case .siit: return (network(0xffff_0000 << 32 | v4, 128), true)
    case .compatible: return (network(v4, 128), true)
    case .sixToFour: return (network(0x2002 << 112 | v4 << 80, 48), true)
    case .localNAT64, .shiftedNAT64: return (network(0x0064_ff9b_0001 << 80, 48), false)
    case .teredo: return (network(0x2001 << 112, 32), false)
    case nil:
      if self == .none { return nil }
      return isLinkLocal ? (network(0xfe80 << 112, 10), false) : (network(UInt128(bits) << 64, 64), true)
    }
  }
}
