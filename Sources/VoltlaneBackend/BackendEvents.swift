import VoltlaneNIO

/// The events of a ``Backend``, until it is stopped. Each event goes to one of the tasks that iterate.
public struct BackendEvents: AsyncSequence, Sendable {
  public typealias Element = BackendEvent
  public typealias Failure = Never

  let inbox: Inbox<BackendEvent, Never>

  public struct Iterator: AsyncIteratorProtocol {
    let inbox: Inbox<BackendEvent, Never>

    public mutating func next() async -> BackendEvent? {
      await inbox.next()
    }

    public mutating func next(isolation actor: isolated (any Actor)?) async -> BackendEvent? {
      await inbox.next()
    }
  }

  public func makeAsyncIterator() -> Iterator {
    Iterator(inbox: inbox)
  }
}
