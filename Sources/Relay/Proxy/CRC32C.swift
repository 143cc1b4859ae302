/// The checksum of PROXY headers (Castagnoli's polynomial, bits reversed), computed byte by byte as they arrive.
struct CRC32C: BitwiseCopyable {
  /// The remainder so far, with all bits inverted.
  var state: UInt32 = .max

  /// What four bits do to the remainder: a byte takes two steps. A larger table would not pay for the length of a
  /// header.
  private static let steps: InlineArray<16, UInt32> = InlineArray { index in
    (0..<4).reduce(UInt32(index)) { remainder, _ in remainder >> 1 ^ (remainder & 1 == 1 ? 0x82f6_3b78 : 0) }
  }

  @inline(__always)
  mutating func update(_ byte: UInt8) {
    state ^= UInt32(byte)
    state = state >> 4 ^ CRC32C.steps[Int(state & 15)]
    state = state >> 4 ^ CRC32C.steps[Int(state & 15)]
  }

  var checksum: UInt32 { ~state }
}
