import Glibc

/// What a client's socket did not take: whole packets with their size prefixes, the first perhaps begun. Costs nothing
/// while it is empty.
///
/// Invariant: `head <= tail <= capacity`; bytes from `head` to `tail` wait.
struct PendingBytes: BitwiseCopyable {
  private var bytes: UnsafeMutableRawPointer?
  private var head: UInt32 = 0
  private var tail: UInt32 = 0
  private var capacity: UInt32 = 0

  @inline(__always) var count: Int { Int(tail &- head) }
  @inline(__always) var isEmpty: Bool { head == tail }
  /// The first byte that waits; only where there is one.
  var first: UnsafeMutableRawPointer { bytes! + Int(head) }

  @inline(never)
  mutating func append(_ source: UnsafeRawPointer, _ byteCount: Int) {
    if Int(capacity - tail) < byteCount { makeRoom(byteCount) }
    memcpy(bytes! + Int(tail), source, byteCount)
    tail += UInt32(byteCount)
  }

  /// Moves what waits to the front where at least half is free there, so that a byte is moved at most once for each
  /// byte sent; else doubles the memory.
  private mutating func makeRoom(_ byteCount: Int) {
    let waiting = count
    if head >= capacity / 2, Int(capacity) - waiting >= byteCount, waiting > 0 {
      memmove(bytes!, bytes! + Int(head), waiting)
    } else {
      var wanted = max(256, 2 * Int(capacity))
      while wanted < waiting + byteCount { wanted *= 2 }
      guard let grown = malloc(wanted) else { fatalError("out of memory for \(wanted) bytes") }
      if waiting > 0 { memcpy(grown, bytes! + Int(head), waiting) }
      Glibc.free(bytes)
      bytes = grown
      capacity = UInt32(wanted)
    }
    head = 0
    tail = UInt32(waiting)
  }

  /// Takes away the first `byteCount` bytes, and the memory with the last.
  mutating func consume(_ byteCount: Int) {
    head += UInt32(byteCount)
    if isEmpty { clear() }
  }

  mutating func clear() {
    Glibc.free(bytes)
    self = PendingBytes()
  }
}
