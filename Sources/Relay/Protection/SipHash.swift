/// SipHash-2-4 under a secret key: who does not know the key can neither tell what a word becomes nor find two that
/// become the same.
struct SipHash: Sendable {
  private let key: (UInt64, UInt64)

  init(random: () -> UInt64) { key = (random(), random()) }

  /// Of one 64-bit word.
  func callAsFunction(_ word: UInt64) -> UInt64 {
    var state = State(key)
    state.absorb(word)
    return state.finish(byteCount: 8)
  }

  /// Of two.
  func callAsFunction(_ first: UInt64, _ second: UInt64) -> UInt64 {
    var state = State(key)
    state.absorb(first)
    state.absorb(second)
    return state.finish(byteCount: 16)
  }

  private struct State {
    private var a: UInt64
    private var b: UInt64
    private var c: UInt64
    private var d: UInt64

    init(_ key: (UInt64, UInt64)) {
      a = key.0 ^ 0x736f_6d65_7073_6575
      b = key.1 ^ 0x646f_7261_6e64_6f6d
      c = key.0 ^ 0x6c79_6765_6e65_7261
      d = key.1 ^ 0x7465_6462_7974_6573
    }

    @inline(__always)
    mutating func absorb(_ block: UInt64) {
      d ^= block
      round()
      round()
      a ^= block
    }

    /// The last block has the number of bytes in its highest byte, and here nothing else.
    @inline(__always)
    mutating func finish(byteCount: UInt64) -> UInt64 {
      absorb(byteCount << 56)
      c ^= 0xff
      for _ in 0..<4 { round() }
      return a ^ b ^ c ^ d
    }

    @inline(__always)
    private mutating func round() {
      a = a &+ b
      b = rotate(b, 13) ^ a
      a = rotate(a, 32)
      c = c &+ d
      d = rotate(d, 16) ^ c
      a = a &+ d
      d = rotate(d, 21) ^ a
      c = c &+ b
      b = rotate(b, 17) ^ c
      c = rotate(c, 32)
    }

    @inline(__always)
    private func rotate(_ x: UInt64, _ n: UInt64) -> UInt64 { x << n | x >> (64 - n) }
  }
}
