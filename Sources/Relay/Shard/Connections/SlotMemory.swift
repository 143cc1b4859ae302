import CLinux
import Glibc

/// Slots of a trivial type in address space that costs memory only once a slot is used. A slot that was never used is
/// all zero bits, which every type kept here accepts.
///
/// `slots[index]` is the slot itself, to read and to write, wherever the owner is only borrowed: the owner is where the
/// slots are, not what they hold. To bind it to a name makes a copy, which is good for reading only.
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

  subscript(slot: UInt32) -> Slot {
    @inline(__always) unsafeAddress { address(slot) }
    @inline(__always) nonmutating unsafeMutableAddress { mutableAddress(slot) }
  }

  /// For the same subscript of a table around this.
  @inline(__always)
  func address(_ slot: UInt32) -> UnsafePointer<Slot> { UnsafePointer(base + Int(slot)) }

  @inline(__always)
  func mutableAddress(_ slot: UInt32) -> UnsafeMutablePointer<Slot> { base + Int(slot) }
}

extension UInt32 {
  /// No slot: the end of a list.
  static let none = UInt32.max
}
