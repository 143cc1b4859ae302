import Synchronization

/// How other threads wake a host. It announces that it goes to sleep, then looks at its lanes once more; who puts
/// something into a lane afterwards sees the announcement, takes it back and rings, so that one bell rings a sleep.
///
///     offset   0   1 while the host sleeps
///              8   the descriptor of the host's ring
struct Bell: @unchecked Sendable {
  private let base: UnsafeMutableRawPointer

  init(_ arena: Arena) {
    base = arena.allocate(byteCount: 128)
  }

  var ringDescriptor: Int32 {
    get { Int32(truncatingIfNeeded: atomic(8).pointee.load(ordering: .acquiring)) }
    nonmutating set { atomic(8).pointee.store(UInt64(newValue), ordering: .releasing) }
  }

  /// The host is about to sleep; it must look at its lanes once more after this.
  @inline(__always)
  func announceSleep() {
    atomic(0).pointee.store(1, ordering: .relaxed)
    atomicMemoryFence(ordering: .sequentiallyConsistent)
  }

  @inline(__always)
  func announceAwake() {
    atomic(0).pointee.store(0, ordering: .relaxed)
  }

  /// Whether the host sleeps and the caller is the one to wake it.
  @inline(__always)
  func takeSleep() -> Bool {
    atomicMemoryFence(ordering: .sequentiallyConsistent)
    guard atomic(0).pointee.load(ordering: .relaxed) != 0 else { return false }
    return atomic(0).pointee.exchange(0, ordering: .acquiringAndReleasing) != 0
  }

  @inline(__always)
  private func atomic(_ offset: Int) -> UnsafeMutablePointer<Atomic<UInt64>> {
    (base + offset).assumingMemoryBound(to: Atomic<UInt64>.self)
  }
}
