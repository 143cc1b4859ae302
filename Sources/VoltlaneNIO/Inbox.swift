import NIOCore
import Synchronization

/// A queue between an event loop and a consuming task, bounded in bytes.
///
/// The producer asks ``hasRoom()`` before each read of its socket. Once the elements that wait cost `limit` bytes or
/// more the answer is no, and `onRoom` is called when the consumer has taken them down to half of it. So at most
/// `limit` and what one read brings is held.
///
/// Any number of tasks may take elements; each element goes to one of them.
package final class Inbox<Element: Sendable, Failure: Error>: Sendable {
  package typealias Ending = Result<Element?, Failure>

  private struct State {
    var waiting = CircularBuffer<(element: Element, cost: Int)>()
    /// The sum of the costs of `waiting`.
    var bytes = 0
    /// The producer was told to stop reading, and not yet to go on.
    var isPaused = false
    /// What follows the last element, once it is known.
    var ending: Ending?
    var takers = Waiters<Ending>()
  }

  private let state = Mutex(State())
  private let limit: Int
  private let onRoom: @Sendable () -> Void

  package init(limit: Int, onRoom: @escaping @Sendable () -> Void) {
    self.limit = limit
    self.onRoom = onRoom
  }

  /// What the elements that wait cost together.
  package var bytes: Int { state.withLock { $0.bytes } }

  /// The producer was told to stop reading, and not yet to go on.
  package var isPaused: Bool { state.withLock { $0.isPaused } }

  /// Queues `elements` with their costs in bytes. After ``finish(_:)`` they are dropped.
  package func append(_ elements: [(element: Element, cost: Int)]) {
    let served = state.withLock { state -> [(taker: CheckedContinuation<Ending, Never>, element: Element)] in
      guard state.ending == nil else { return [] }
      var served: [(taker: CheckedContinuation<Ending, Never>, element: Element)] = []
      for entry in elements {
        if let taker = state.takers.popFirst() {
          served.append((taker.continuation, entry.element))
        } else {
          state.waiting.append(entry)
          state.bytes += entry.cost
        }
      }
      return served
    }
    for (taker, element) in served { taker.resume(returning: .success(element)) }
  }

  /// Whether the producer may read on. If not, `onRoom` is called once it may.
  package func hasRoom() -> Bool {
    state.withLock { state in
      state.isPaused = state.bytes >= limit
      return !state.isPaused
    }
  }

  /// Ends the sequence after what is queued: with an error, or just so. Only the first call counts.
  package func finish(_ failure: Failure? = nil) {
    let ending: Ending = failure.map { .failure($0) } ?? .success(nil)
    let takers = state.withLock { state -> [CheckedContinuation<Ending, Never>] in
      guard state.ending == nil else { return [] }
      state.ending = ending
      return state.takers.removeAll()
    }
    for taker in takers { taker.resume(returning: ending) }
  }

  /// The next element; nil at the end, or when the task is cancelled, which loses no element. The error comes after the
  /// last element, and again to everybody who asks.
  package func next() async throws(Failure) -> Element? {
    if let ending = take(orElse: { _ in nil }) { return try ending.get() }
    let id = WaiterID()
    let ending = await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        let ending = take { state in state.takers.append(id, continuation) ? nil : .success(nil) }
        if let ending { continuation.resume(returning: ending) }
      }
    } onCancel: {
      state.withLock { $0.takers.cancel(id) }?.resume(returning: .success(nil))
    }
    return try ending.get()
  }

  /// The first element, or the ending where that is next; else what `wait` says.
  private func take(orElse wait: (inout State) -> Ending?) -> Ending? {
    let (ending, resumes) = state.withLock { state -> (Ending?, Bool) in
      guard let entry = state.waiting.popFirst() else { return (state.ending ?? wait(&state), false) }
      state.bytes -= entry.cost
      let resumes = state.isPaused && state.bytes <= limit / 2
      if resumes { state.isPaused = false }
      return (.success(entry.element), resumes)
    }
    if resumes { onRoom() }
    return ending
  }
}
