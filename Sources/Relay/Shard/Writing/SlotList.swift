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
