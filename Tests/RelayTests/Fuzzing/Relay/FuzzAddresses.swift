@testable import Relay

/// Addresses of each form that limits tell apart, and what load balancers write of them.
enum FuzzAddresses {
  private static let v6: [UInt128] = [
    0x2001_0db8_0000_0001 << 64 | 7, 0x0064_ff9b << 96 | 0x0102_0304, 0x0064_ff9b_0001 << 80 | 0x0102_0304,
    0x0064_ff9b_0001 << 80 | 0x0102_0304 << 24, 0xffff_0000 << 32 | 0x0102_0304, 0x2002_0102_0304 << 80 | 1,
    0x2001_0000 << 96 | 0xfefd_fcfb, 0xfe80 << 112 | 9,
  ]

  static func address(_ number: UInt8) -> ClientAddress {
    number < 8 ? ClientAddress(v4: 0x0b00_0000 | UInt32(number)) : ClientAddress(bits: v6[Int(number) % v6.count])
  }

  /// A header of version 2 for an address, with some values behind it, one of which may be the checksum of it all.
  static func header(_ script: inout FuzzScript) -> [UInt8] {
    let choice = script.byte()
    let source = address(choice >> 4).bits
    let isV4 = source >> 32 == 0xffff
    let bytes = (0..<(isV4 ? 4 : 16)).map { UInt8(truncatingIfNeeded: source >> UInt128(8 * ((isV4 ? 3 : 15) - $0))) }
    // A destination that does not matter, and two ports.
    var body = bytes + bytes + [0xc3, 0x50, 0x00, 0x50]
    for _ in 0..<script.below(3) {
      let (type, value) = (script.byte(), script.piece())
      body += [type, 0, UInt8(value.count)] + value
    }
    let hasChecksum = choice & 2 != 0
    if hasChecksum { body += [3, 0, 4, 0, 0, 0, 0] }
    // A length that lies now and then.
    let length = body.count + (choice & 4 != 0 ? Int(script.byte()) : 0)
    var header: [UInt8] = [0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a]
    header += [choice & 8 == 0 ? 0x21 : 0x20, isV4 ? 0x11 : 0x21, UInt8(length >> 8), UInt8(length & 255)] + body
    guard hasChecksum else { return header }
    var sum = CRC32C()
    for byte in header { sum.update(byte) }
    for place in 0..<4 {
      header[header.count - 4 + place] = UInt8(truncatingIfNeeded: sum.checksum >> UInt32(24 - 8 * place))
    }
    if choice & 1 != 0 { header[header.count - 1] ^= 1 }
    return header
  }
}
