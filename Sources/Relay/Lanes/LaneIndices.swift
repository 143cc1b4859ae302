import Synchronization

/// The two positions of a one-way lane between two threads, and how each side asks the other to wake it.
///
/// Invariant: `head <= tail <= head + capacity`. The producer alone writes `tail`, the consumer alone `head`; what lies
/// between was written before `tail` was published and is read before `head` is.
///
///     offset   0   head          written by the consumer
///            128   tail          written by the producer
///            256   producerWaits set by a producer that has no room, cleared by the consumer that makes some
struct LaneIndices: @unchecked Sendable {
  private let base: UnsafeMutableRawPointer

  init(_ arena: Arena) {
    base = arena.allocate(byteCount: 384)
  }

  var head: UInt64 {
    @inline(__always) get { atomic(0).pointee.load(ordering: .acquiring) }
    @inline(__always) nonmutating set { atomic(0).pointee.store(newValue, ordering: .releasing) }
  }

  var tail: UInt64 {
    @inline(__always) get { atomic(128).pointee.load(ordering: .acquiring) }
    @inline(__always) nonmutating set { atomic(128).pointee.store(newValue, ordering: .releasing) }
  }

  /// The producer has no room: it must look at `head` once more after this, because the consumer may have looked before.
  func announceProducerWaits() {
    atomic(256).pointee.store(1, ordering: .sequentiallyConsistent)
    atomicMemoryFence(ordering: .sequentiallyConsistent)
  }

  /// Whether a producer waited for the room that the consumer just made. True once for each wait.
  @inline(__always)
  func takeProducerWaits() -> Bool {
    atomicMemoryFence(ordering: .sequentiallyConsistent)
    guard atomic(256).pointee.load(ordering: .relaxed) != 0 else { return false }
    return atomic(256).pointee.exchange(0, ordering: .acquiringAndReleasing) != 0
  }

  @inline(__always)
  private func atomic(_ offset: Int) -> UnsafeMutablePointer<Atomic<UInt64>> {
    (base + offset).assumingMemoryBound(to: Atomic<UInt64>.self)
  }
}
