import Glibc

/// A range of addresses as written in lists: `192.0.2.0/24`, `2001:db8::/32`, or a single address.
public struct Network: Hashable, Sendable {
  /// The range; an IPv4 range is that of the IPv6 addresses that stand for it.
  let addresses: ClosedRange<UInt128>
  private let text: String

  /// Why a text is not a network.
  public struct Malformed: Error, Equatable {
    public let reason: String
  }

  public init(_ text: String) throws(Malformed) {
    self.text = text
    let parts = text.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
    guard let address = Network.address(String(parts[0])) else {
      throw Malformed(reason: "'\(parts[0])' is not an IPv4 or IPv6 address")
    }
    let width = parts[0].contains(":") ? 128 : 32
    var length = width
    if parts.count == 2 {
      guard let number = Int(parts[1]), (0...width).contains(number), parts[1].allSatisfy(\.isNumber) else {
        throw Malformed(reason: "'\(parts[1])' is not a prefix length from 0 to \(width)")
      }
      length = number
    }
    // A shift by the full width does not exist in the processor, but it does in Swift.
    let host = (UInt128(1) << UInt128(width - length)) &- 1
    guard address & host == 0 else {
      throw Malformed(reason: "it has bits set after its prefix of \(length) bits")
    }
    addresses = address...(address | host)
  }

  private static func address(_ text: String) -> UInt128? {
    // C would read no further than a zero byte, and let anything follow it.
    guard !text.utf8.contains(0) else { return nil }
    return text.withCString { (ClientAddress(text: $0, isV6: false) ?? ClientAddress(text: $0, isV6: true))?.bits }
  }
}

extension ClientAddress {
  /// An address of this kind in its usual notation, followed by a zero byte.
  init?(text: UnsafePointer<CChar>, isV6: Bool) {
    if isV6 {
      var v6 = in6_addr()
      guard inet_pton(AF_INET6, text, &v6) == 1 else { return nil }
      self.init(bits: withUnsafeBytes(of: v6) { UInt128(bigEndian: $0.loadUnaligned(as: UInt128.self)) })
    } else {
      var v4 = in_addr()
      guard inet_pton(AF_INET, text, &v4) == 1 else { return nil }
      self.init(v4: UInt32(bigEndian: v4.s_addr))
    }
  }

  /// The same, if `text` contains a zero byte somewhere.
  init?(text: RawSpan, isV6: Bool) {
    let address = text.withUnsafeBytes { bytes -> ClientAddress? in
      guard let start = bytes.baseAddress, bytes.contains(0) else { return nil }
      return ClientAddress(text: start.assumingMemoryBound(to: CChar.self), isV6: isV6)
    }
    guard let address else { return nil }
    self = address
  }
}

extension Network {
  /// Whether every address of `others` is in one of `networks`.
  public static func cover(_ networks: [Network], _ others: [Network]) -> Bool {
    let list = NetworkList(networks)
    return others.allSatisfy { list.hasAll($0.addresses) }
  }

  /// Whether some address is in both.
  public func overlaps(_ other: Network) -> Bool { addresses.overlaps(other.addresses) }

  /// Whether it has more addresses than one network of somebody's: of IPv4 more than a /16, of IPv6 more than a /32.
  /// Whoever names such a one may have meant something else.
  public var isWide: Bool {
    if addresses.upperBound - addresses.lowerBound >= UInt128(1) << 96 { return true }
    let v4 = (UInt128(0xffff) << 32)...(UInt128(0xffff) << 32 | 0xffff_ffff)
    guard addresses.overlaps(v4) else { return false }
    let own = addresses.clamped(to: v4)
    return own.upperBound - own.lowerBound >= 1 << 16
  }

  /// The smallest network with everybody who counts as one client with somebody here: of a single IPv6 address its /64,
  /// and for what is smaller than a network of one owner that network.
  public var ofWholeClients: Network {
    let first = ClientAddress(bits: addresses.lowerBound)
    let (all, key) = (first.alike, first.key)
    // What has no more than an IPv4 address of its own is a client by itself, and ::/64 has all of these in it.
    let hasOneOwner = key.form == .sixToFour || key.form == nil && !key.isLinkLocal && key != .none
    guard hasOneOwner, all != addresses, addresses.upperBound <= all.upperBound else { return self }
    // The key is written as that network.
    return (try? Network("\(key)")) ?? self
  }

  /// Whether both have the same addresses, however they are written.
  public func isSame(as other: Network) -> Bool { addresses == other.addresses }
}

extension Network: CustomStringConvertible {
  public var description: String { text }
}

/// Networks in which an address is found in few steps: ascending ranges that do not touch.
struct NetworkList: Sendable {
  private var ranges: [ClosedRange<UInt128>] = []

  init(_ networks: [Network]) {
    for range in networks.map(\.addresses).sorted(by: { $0.lowerBound < $1.lowerBound }) {
      if let last = ranges.last, range.lowerBound <= last.upperBound {
        ranges[ranges.count - 1] = last.lowerBound...max(last.upperBound, range.upperBound)
      } else {
        ranges.append(range)
      }
    }
  }

  func contains(_ address: ClientAddress) -> Bool { hasAll(address.bits...address.bits) }

  /// Whether all addresses of a range are in one of the networks.
  func hasAll(_ addresses: ClosedRange<UInt128>) -> Bool {
    firstToReach(addresses).map { $0.lowerBound <= addresses.lowerBound && $0.upperBound >= addresses.upperBound }
      ?? false
  }

  /// Whether an address of a range is in one of the networks.
  func hasAny(_ addresses: ClosedRange<UInt128>) -> Bool {
    firstToReach(addresses).map { $0.lowerBound <= addresses.upperBound } ?? false
  }

  /// The first range that does not end before `addresses` begins.
  private func firstToReach(_ addresses: ClosedRange<UInt128>) -> ClosedRange<UInt128>? {
    var low = 0
    var high = ranges.count
    while low < high {
      let middle = (low + high) / 2
      if ranges[middle].upperBound < addresses.lowerBound { low = middle + 1 } else { high = middle }
    }
    return low < ranges.count ? ranges[low] : nil
  }
}
