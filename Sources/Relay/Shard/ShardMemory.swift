import VoltlaneWire

/// Where a shard reads clients into. `start` has room before it, for the start of a packet that came with an earlier
/// read, so that a packet is parsed in one piece.
struct ReadBuffer {
  static let front = 16
  private let base: UnsafeMutableRawPointer
  let capacity = Limits.readSize
  var start: UnsafeMutableRawPointer { base + ReadBuffer.front }

  init(_ arena: Arena) {
    base = arena.allocate(byteCount: ReadBuffer.front + Limits.readSize)
  }
}

/// Where a shard puts packets for one client together. Sends from here have completed before it is used again.
struct GatherBuffer {
  let start: UnsafeMutableRawPointer
  let capacity = Limits.gather
  /// Where a handshake packet is put together.
  let handshake: UnsafeMutableRawPointer

  init(_ arena: Arena) {
    start = arena.allocate(byteCount: Limits.gather)
    handshake = arena.allocate(byteCount: Wire.sizePrefix + Wire.maxHandshakePacket)
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
