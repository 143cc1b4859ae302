import Glibc
import Synchronization

/// The memory of one unfinished packet, and of a large finished one until the backend's socket has it.
///
/// Invariant: `count <= capacity`; `bytes` holds `capacity` bytes, charged to the assembly budget while the packet is
/// unfinished. Whoever has the value last frees it: the connection while it fills, the uplink lane afterwards, which
/// has a bound of its own.
struct PacketBuffer: BitwiseCopyable {
  private(set) var bytes: UnsafeMutableRawPointer
  var count: UInt32
  private(set) var capacity: UInt32

  /// Where the next byte goes.
  var end: UnsafeMutableRawPointer { bytes + Int(count) }

  /// An empty buffer; nil where the system has no memory for it. The budget is charged whether or not it has room: the
  /// caller ends the largest if it has not.
  init?(capacity: Int, _ budget: SharedBudget) {
    guard let bytes = malloc(capacity) else { return nil }
    self.bytes = bytes
    self.capacity = UInt32(capacity)
    count = 0
    budget.charge(capacity)
  }

  /// A buffer that begins with `byteCount` bytes of `source`; nil as above.
  init?(copying source: UnsafeRawPointer, _ byteCount: Int, capacity: Int, _ budget: SharedBudget) {
    self.init(capacity: capacity, budget)
    memcpy(bytes, source, byteCount)
    count = UInt32(byteCount)
  }

  /// Appends bytes that fit.
  mutating func append(_ source: UnsafeRawPointer, _ byteCount: Int) {
    // The caller has made it large enough.
    precondition(Int(capacity - count) >= byteCount)
    memcpy(end, source, byteCount)
    count += UInt32(byteCount)
  }

  /// Makes it hold `capacity` bytes. False, and it stays as it is, where the system has no memory for them.
  mutating func grow(to capacity: Int, _ budget: SharedBudget) -> Bool {
    guard let bytes = realloc(bytes, capacity) else { return false }
    budget.charge(capacity - Int(self.capacity))
    self.bytes = bytes
    self.capacity = UInt32(capacity)
    return true
  }

  /// Frees an unfinished packet's memory.
  func free(_ budget: SharedBudget) {
    free()
    budget.giveBack(Int(capacity))
  }

  /// The same for a finished one, which is charged to nothing.
  func free() { Glibc.free(bytes) }
}
