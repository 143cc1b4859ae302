import NIOCore
import Synchronization

/// A queue between an event loop and a consuming task, bounded in bytes.
///
/// The producer asks ``hasRoom()`` before each read of its socket. Once the waiting elements cost `limit` bytes or
/// more, the answer is no, and `onRoom` is called when the consumer has taken enough that only half of that remains. So
/// the queue holds at most `limit` plus what one read brings.
///
/// Any number of tasks may take elements; each element goes to one of them. Taking is `nonisolated(nonsending)`: an
/// element that is waiting is taken on the caller's thread, without a hop to another executor and back, which would
/// cost ten times as much as everything else. It is also inlinable, so that each library has code for its own elements:
/// generic code would look up its types for every packet. That is why it is public, in a module that is not a product:
/// Swift 6.3 does not specialise inlinable code that is only `package`.
public final class Inbox<Element: Sendable, Failure: Error>: Sendable {
  public typealias Ending = Result<Element?, Failure>

  @usableFromInline struct Entry: Sendable {
    @usableFromInline var element: Element
    @usableFromInline var cost: Int
    @usableFromInline var arrival: NIODeadline

    @inlinable init(element: Element, cost: Int, arrival: NIODeadline) {
      self.element = element
      self.cost = cost
      self.arrival = arrival
    }
  }

  @usableFromInline struct State {
    @inlinable init() {}

    @usableFromInline var waiting = CircularBuffer<Entry>()
    /// The sum of the costs of `waiting`.
    @usableFromInline var bytes = 0
    /// The producer was told to stop reading, and has not been told to continue.
    @usableFromInline var isPaused = false
    /// What follows the last element, once it is known. When the last element that a taker was waiting for arrived.
    @usableFromInline var servedArrival: NIODeadline?
    @usableFromInline var ending: Ending?
    @usableFromInline var takers = Waiters<Ending>()
  }

  @usableFromInline let state = Mutex(State())
  @usableFromInline let limit: Int
  @usableFromInline let onRoom: @Sendable () -> Void

  @inlinable public init(limit: Int, onRoom: @escaping @Sendable () -> Void) {
    self.limit = limit
    self.onRoom = onRoom
  }

  /// The cost of all waiting elements.
  public var bytes: Int { state.withLock { $0.bytes } }

  /// The producer was told to stop reading, and has not been told to continue.
  public var isPaused: Bool { state.withLock { $0.isPaused } }

  /// When the oldest waiting element arrived; nil if none is waiting.
  public var oldestArrival: NIODeadline? { state.withLock { $0.waiting.first?.arrival } }

  /// Queues `elements` with their costs in bytes. After ``finish(_:)`` they are dropped.
  @inlinable public func append(_ elements: [(element: Element, cost: Int)], arrival: NIODeadline = .now()) {
    guard !elements.isEmpty else { return }
    let served = state.withLock { state -> [(taker: CheckedContinuation<Ending, Never>, element: Element)] in
      guard state.ending == nil else { return [] }
      var served: [(taker: CheckedContinuation<Ending, Never>, element: Element)] = []
      for entry in elements {
        if let taker = state.takers.popFirst() {
          served.append((taker.continuation, entry.element))
          state.servedArrival = arrival
        } else {
          state.waiting.append(Entry(element: entry.element, cost: entry.cost, arrival: arrival))
          state.bytes += entry.cost
        }
      }
      return served
    }
    for (taker, element) in served { taker.resume(returning: .success(element)) }
  }

  /// Whether the producer may continue reading. If not, `onRoom` is called once it may.
  @inlinable public func hasRoom() -> Bool {
    state.withLock { state in
      state.isPaused = state.bytes >= limit
      return !state.isPaused
    }
  }

  /// Ends the sequence after what is queued, with or without an error. Only the first call counts.
  @inlinable public func finish(_ failure: Failure? = nil) {
    let ending: Ending = failure.map { .failure($0) } ?? .success(nil)
    let takers = state.withLock { state -> [CheckedContinuation<Ending, Never>] in
      guard state.ending == nil else { return [] }
      state.ending = ending
      return state.takers.removeAll()
    }
    for taker in takers { taker.resume(returning: ending) }
  }

  /// The next element; nil at the end, or when the task is cancelled, which loses no element. The error comes after the
  /// last element, and again on every later call.
  @inlinable public nonisolated(nonsending) func next() async throws(Failure) -> Element? {
    if let ending = take() { return try ending.get() }
    return try await wait().get()
  }

  /// All waiting elements, at least one, and when the oldest of them arrived; otherwise like ``next()``.
  @inlinable public nonisolated(nonsending) func nextBatch() async throws(Failure) -> (
    elements: [Element], arrival: NIODeadline
  )? {
    let waiting = takeAll()
    if !waiting.elements.isEmpty { return waiting }
    guard let first = try await next() else { return nil }
    let rest = takeAll()
    let arrival = state.withLock { $0.servedArrival } ?? rest.arrival
    return ([first] + rest.elements, min(rest.arrival, arrival))
  }

  /// Waits for the next element, or the ending.
  @inlinable nonisolated(nonsending) func wait() async -> Ending {
    let id = WaiterID()
    return await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        if let ending = take(orWaitAs: id, continuation) { continuation.resume(returning: ending) }
      }
    } onCancel: {
      state.withLock { $0.takers.cancel(id) }?.resume(returning: .success(nil))
    }
  }

  /// The first element, or the ending if that comes next; nil if there is neither, and then `taker` waits.
  @inlinable func take(
    orWaitAs id: WaiterID? = nil, _ taker: CheckedContinuation<Ending, Never>? = nil
  ) -> Ending? {
    let (ending, resumes) = state.withLock { state -> (Ending?, Bool) in
      guard let entry = state.waiting.popFirst() else {
        if let ending = state.ending { return (ending, false) }
        guard let id, let taker else { return (nil, false) }
        return (state.takers.append(id, taker) ? nil : .success(nil), false)
      }
      state.bytes -= entry.cost
      return (.success(entry.element), mayResume(&state))
    }
    if resumes { onRoom() }
    return ending
  }

  /// All waiting elements. If there are none, the arrival time is now.
  @inlinable func takeAll() -> (elements: [Element], arrival: NIODeadline) {
    let (waiting, resumes) = state.withLock { state -> (CircularBuffer<Entry>, Bool) in
      let taken = state.waiting
      state.waiting = CircularBuffer()
      state.bytes = 0
      return (taken, mayResume(&state))
    }
    if resumes { onRoom() }
    return (waiting.map(\.element), waiting.first?.arrival ?? .now())
  }

  /// Whether to tell the producer that it may continue reading.
  @inlinable func mayResume(_ state: inout State) -> Bool {
    guard state.isPaused, state.bytes <= limit / 2 else { return false }
    state.isPaused = false
    return true
  }
}
