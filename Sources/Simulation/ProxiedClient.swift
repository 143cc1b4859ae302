#if TESTABLE
@testable import Relay

/// Where a client comes from, as a 0x07 says it: family, address and port.
struct Origin {
  let bytes: [UInt8]

  init(_ address: ClientAddress, port: UInt16) {
    let family: (number: UInt8, count: Int) =
      address == .none ? (0, 0) : address.bits >> 32 == 0xffff ? (4, 4) : (6, 16)
    let all = ProxiedClient.bytes(address)
    let port = family.count > 0 ? port : 0
    bytes = [family.number] + all.suffix(family.count) + [UInt8(port & 0xff), UInt8(port >> 8)]
  }
}

/// What a load balancer says of a client, in one of the forms that it may say it in.
struct ProxiedClient {
  let bytes: [UInt8]
  /// nil if the load balancer speaks for itself, or does not know.
  let client: ClientAddress?
  let port: UInt16

  init(isMischievous: Bool, port: UInt16, _ chance: inout Chance) {
    let v4 = ClientAddress(v4: isMischievous ? 0xc000_0201 : 0xc633_6400 | UInt32(chance.below(4)))
    let v6 = ClientAddress(bits: 0x2001_0db8 << 96 | (isMischievous ? 0xffff : UInt128(chance.below(4))) << 64 | 1)
    self.port = port
    switch chance.below(8) {
    case 0:
      client = v6
      bytes = Array("PROXY TCP6 \(ProxiedClient.text(v6)) ::1 \(port) 42000\r\n".utf8)
    case 1 where !isMischievous:
      client = nil
      bytes = Array("PROXY UNKNOWN\r\n".utf8)
    case 2:
      client = v4
      bytes = ProxiedClient.binary(1, 0x11, ProxiedClient.ends(v4, port, 4), &chance)
    case 3:
      client = v6
      bytes = ProxiedClient.binary(1, 0x21, ProxiedClient.ends(v6, port, 16), &chance)
    case 4 where !isMischievous:
      client = nil
      bytes = ProxiedClient.binary(0, 0x00, [], &chance)
    default:
      client = v4
      bytes = Array("PROXY TCP4 \(ProxiedClient.text(v4)) 10.0.0.1 \(port) 42000\r\n".utf8)
    }
  }

  /// The header with something wrong in it.
  func spoilt(_ chance: inout Chance) -> [UInt8] {
    var bytes = bytes
    switch chance.below(3) {
    case 0: bytes.removeLast(chance.between(1, bytes.count - 1))
    case 1: bytes[chance.below(bytes.count)] ^= UInt8(1 << chance.below(8))
    default: bytes = (0..<chance.between(1, 300)).map { _ in UInt8(truncatingIfNeeded: chance.next()) }
    }
    return bytes
  }

  /// The 16 bytes of an address.
  static func bytes(_ address: ClientAddress) -> [UInt8] {
    stride(from: 120, through: 0, by: -8).map { UInt8(truncatingIfNeeded: address.bits >> UInt128($0)) }
  }

  /// An address as people write it.
  static func text(_ address: ClientAddress) -> String {
    guard !address.isIPv4 else {
      return [24, 16, 8, 0].map { String(UInt8(truncatingIfNeeded: address.bits >> UInt128($0))) }
        .joined(separator: ".")
    }
    return stride(from: 112, through: 0, by: -16)
      .map { String(UInt16(truncatingIfNeeded: address.bits >> UInt128($0)), radix: 16) }.joined(separator: ":")
  }

  /// Source and destination addresses, and their ports.
  private static func ends(_ client: ClientAddress, _ port: UInt16, _ count: Int) -> [UInt8] {
    let source = Array(bytes(client).suffix(count))
    let ports: [UInt8] = [UInt8(port >> 8), UInt8(port & 0xff), 164, 16]
    return source + [UInt8](repeating: 1, count: count) + ports
  }

  /// Version 2. Now and then a value that says nothing follows the addresses.
  private static func binary(_ command: UInt8, _ family: UInt8, _ ends: [UInt8], _ chance: inout Chance) -> [UInt8] {
    var rest = ends
    if chance.oneIn(3) {
      let padding = chance.magnitude(1, 3000)
      rest += [4, UInt8(padding >> 8), UInt8(padding & 0xff)] + [UInt8](repeating: 0, count: padding)
    }
    let signature = Array("\r\n\r\n\0\r\nQUIT\n".utf8)
    return signature + [0x20 | command, family, UInt8(rest.count >> 8), UInt8(rest.count & 0xff)] + rest
  }
}
#endif
