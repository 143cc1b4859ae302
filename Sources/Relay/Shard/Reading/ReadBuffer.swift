/// Where a shard reads clients into. `start` has room before it, for the start of a packet that came with an earlier
/// read, so that a packet is parsed in one piece.
struct ReadBuffer {
  static let front = 16
  private let base: UnsafeMutableRawPointer
  let capacity = Limits.readSize
  var start: UnsafeMutableRawPointer { base + ReadBuffer.front }

  /// The first `count` bytes, which the caller has put there; good until the next receive.
  @inline(__always) @_lifetime(borrow self)
  func span(_ count: Int) -> RawSpan {
    _overrideLifetime(RawSpan(_unsafeStart: start, byteCount: min(count, capacity)), borrowing: self)
  }

  /// Puts the first `count` bytes of `prefix` in front of ``start``, and returns where they begin.
  func putInFront(_ prefix: UInt32, _ count: Int) -> UnsafeMutableRawPointer {
    let target = start - count
    for index in 0..<count {
      target.storeBytes(of: UInt8(truncatingIfNeeded: prefix >> UInt32(8 * index)), toByteOffset: index, as: UInt8.self)
    }
    return target
  }

  init(_ arena: Arena) {
    base = arena.allocate(byteCount: ReadBuffer.front + Limits.readSize)
  }
}
