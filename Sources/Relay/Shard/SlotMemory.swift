import CLinux
import Glibc

/// Slots of a trivial type in address space that costs memory only once a slot is used. A slot that was never used is
/// all zero bits, which every type kept here accepts.
struct SlotMemory<Slot>: ~Copyable {
  private let base: UnsafeMutablePointer<Slot>
  let capacity: UInt32

  init(capacity: Int) throws(RelayError) {
    let byteCount = capacity * MemoryLayout<Slot>.stride
    guard let memory = voltlane_reserve(byteCount) else {
      throw .system(call: "mmap of \(byteCount) bytes", errno: errno)
    }
    base = memory.bindMemory(to: Slot.self, capacity: capacity)
    self.capacity = UInt32(capacity)
  }

  deinit { voltlane_release(base, Int(capacity) * MemoryLayout<Slot>.stride) }

  @inline(__always)
  subscript(slot: UInt32) -> UnsafeMutablePointer<Slot> { base + Int(slot) }
}

extension UInt32 {
  /// No slot: the end of a list.
  static let none = UInt32.max
}
