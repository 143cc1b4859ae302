/// The checksum of PROXY headers (Castagnoli's polynomial, bits reversed).
enum CRC32C {
  static func checksum(_ bytes: RawSpan, zeroed: Range<Int>) -> UInt32 {
    var remainder: UInt32 = ~0
    for offset in 0..<bytes.byteCount {
      remainder ^= zeroed.contains(offset) ? 0 : UInt32(bytes.byte(at: offset))
      for _ in 0..<8 { remainder = remainder >> 1 ^ (remainder & 1 == 1 ? 0x82f6_3b78 : 0) }
    }
    return ~remainder
  }
}
