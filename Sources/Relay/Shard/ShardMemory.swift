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

/// A list of at most as many slots as descriptors fit into a lane, which is more than one turn takes.
struct SlotList {
  private let slots: UnsafeMutablePointer<UInt32>
  private let counter: UnsafeMutablePointer<Int>

  init(_ arena: Arena) {
    slots = arena.allocate(byteCount: Limits.downlinkLane * 4).bindMemory(
      to: UInt32.self, capacity: Limits.downlinkLane)
    counter = arena.allocate(byteCount: 8).bindMemory(to: Int.self, capacity: 1)
  }

  @inline(__always) var count: Int { counter.pointee }

  @inline(__always)
  func append(_ slot: UInt32) {
    slots[counter.pointee] = slot
    counter.pointee &+= 1
  }

  @inline(__always)
  subscript(index: Int) -> UInt32 { slots[index] }

  func removeAll() { counter.pointee = 0 }
}
