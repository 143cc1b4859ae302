import NIOCore
import Synchronization

/// Identifies one wait, so that its cancellation can find it.
@usableFromInline final class WaiterID: Sendable {
  /// A cancellation handler may run at any time, even before the wait begins. Changed under the lock of the queue's
  /// owner.
  fileprivate let isCancelled = Atomic(false)

  @usableFromInline init() {}

  @usableFromInline var wasCancelled: Bool { isCancelled.load(ordering: .relaxed) }
  @usableFromInline func cancel() { isCancelled.store(true, ordering: .relaxed) }
}

/// Suspended tasks, first come first served, each with the number of bytes that it needs room for. Used under its
/// owner's lock.
@usableFromInline struct Waiters<Value: Sendable> {
  @usableFromInline typealias Continuation = CheckedContinuation<Value, Never>

  @usableFromInline var queue = CircularBuffer<(id: WaiterID, cost: Int, continuation: Continuation)>()

  @inlinable init() {}

  @inlinable var isEmpty: Bool { queue.isEmpty }

  /// False if `id` was already cancelled: then it does not wait.
  @inlinable mutating func append(_ id: WaiterID, cost: Int = 0, _ continuation: Continuation) -> Bool {
    guard !id.wasCancelled else { return false }
    queue.append((id, cost, continuation))
    return true
  }

  @inlinable mutating func popFirst() -> (cost: Int, continuation: Continuation)? {
    queue.popFirst().map { ($0.cost, $0.continuation) }
  }

  @inlinable mutating func removeAll() -> [Continuation] {
    defer { queue.removeAll() }
    return queue.map(\.continuation)
  }

  /// Takes `id` out of the queue, for the owner to resume. If it is not waiting yet, it never will.
  @inlinable mutating func cancel(_ id: WaiterID) -> Continuation? {
    id.cancel()
    guard let index = queue.firstIndex(where: { $0.id === id }) else { return nil }
    return queue.remove(at: index).continuation
  }
}
