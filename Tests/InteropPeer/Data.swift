import NIOCore
import VoltlaneText

/// A packet to send, as the runner's lines tell it: `hex:…` or `gen:SIZE:SEED`.
func packet(_ text: Substring) -> ByteBuffer? {
  let parts = text.split(separator: ":", omittingEmptySubsequences: false)
  if parts.count == 3, parts[0] == "gen", let size = Int(parts[1]), let seed = Int(parts[2]) {
    return ByteBuffer(bytes: (0..<size).map { UInt8(truncatingIfNeeded: $0 % 251 + seed) })
  }
  guard parts.count == 2, parts[0] == "hex" else { return nil }
  return bytes(hexadecimal: parts[1]).map { ByteBuffer(bytes: $0) }
}

/// A packet that was received, as the runner wants to hear of it: size and CRC-32.
func summary(_ packet: ByteBuffer) -> String {
  var crc = UInt32.max
  for byte in packet.readableBytesView {
    crc = crcTable[Int(UInt8(truncatingIfNeeded: crc) ^ byte)] ^ crc >> 8
  }
  let digits = String(~crc, radix: 16)
  return "\(packet.readableBytes) " + String(repeating: "0", count: 8 - digits.count) + digits
}

private let crcTable: [UInt32] = (0..<256).map { index in
  (0..<8).reduce(UInt32(index)) { value, _ in value & 1 == 1 ? 0xedb8_8320 ^ value >> 1 : value >> 1 }
}
