import NIOCore
import VoltlaneNIO

/// The events of a ``Backend``, until it is stopped. Each event goes to one of the tasks that iterate.
public struct BackendEvents: AsyncSequence, Sendable {
  public typealias Element = BackendEvent
  public typealias Failure = Never

  let inbox: Inbox<BackendEvent, Never>

  public struct Iterator: AsyncIteratorProtocol {
    let inbox: Inbox<BackendEvent, Never>

    /// The next event; nil once the backend was stopped and all events were taken, or if the task is cancelled. A
    /// waiting event is taken without a suspension.
    public nonisolated(nonsending) mutating func next() async -> BackendEvent? {
      await inbox.next()
    }

    /// The same, as `for await` calls it.
    public mutating func next(isolation actor: isolated (any Actor)?) async -> BackendEvent? {
      await inbox.next()
    }
  }

  public func makeAsyncIterator() -> Iterator {
    Iterator(inbox: inbox)
  }
}

/// The events of a ``Backend`` in batches, until it is stopped: each has all events that are waiting when it is asked
/// for, and at least one. This is faster than taking them one by one, and a batch knows its age. The events are the
/// same as those of ``Backend/events``: each goes to one of the tasks that iterate over either.
///
/// Events in a batch no longer count as waiting: a backend holds up to one batch and the same amount again.
public struct BackendBatches: AsyncSequence, Sendable {
  public typealias Element = BackendBatch
  public typealias Failure = Never

  let inbox: Inbox<BackendEvent, Never>

  public struct Iterator: AsyncIteratorProtocol {
    let inbox: Inbox<BackendEvent, Never>

    /// The next batch; nil once the backend was stopped and all events were taken, or if the task is cancelled.
    public nonisolated(nonsending) mutating func next() async -> BackendBatch? {
      await inbox.nextBatch().map { BackendBatch(events: $0.elements, arrival: $0.arrival) }
    }

    /// The same, as `for await` calls it.
    public mutating func next(isolation actor: isolated (any Actor)?) async -> BackendBatch? {
      await inbox.nextBatch().map { BackendBatch(events: $0.elements, arrival: $0.arrival) }
    }
  }

  public func makeAsyncIterator() -> Iterator {
    Iterator(inbox: inbox)
  }
}

/// Events that were waiting together, oldest first; at least one.
public struct BackendBatch: RandomAccessCollection, Sendable {
  /// The events, oldest first.
  public let events: [BackendEvent]
  let arrival: NIODeadline

  /// How long ago the oldest of them arrived, at most: see ``Backend/oldestEventAge``. After a backend was stopped, or
  /// fell behind, this shows that what it reads is old.
  public var age: Duration { .nanoseconds(Swift.max(0, (NIODeadline.now() - arrival).nanoseconds)) }

  public var startIndex: Int { events.startIndex }
  public var endIndex: Int { events.endIndex }
  public subscript(index: Int) -> BackendEvent { events[index] }
}
