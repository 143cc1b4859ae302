import Synchronization

/// The state of a client, for any number of observers.
final class StateBroadcast: Sendable {
  private struct Shared {
    var state = ClientState.connected
    var observers: [Int: AsyncStream<ClientState>.Continuation] = [:]
    var observerCount = 0
  }

  private let shared = Mutex(Shared())

  var state: ClientState { shared.withLock { $0.state } }

  /// False if the client is already over, which cannot change.
  @discardableResult
  func change(to state: ClientState) -> Bool {
    let (isChanged, over) = shared.withLock { shared -> (Bool, [AsyncStream<ClientState>.Continuation]) in
      if case .over = shared.state { return (false, []) }
      shared.state = state
      // Under the lock, so that everybody sees the changes in order.
      for observer in shared.observers.values { observer.yield(state) }
      guard case .over = state else { return (true, []) }
      defer { shared.observers = [:] }
      return (true, Array(shared.observers.values))
    }
    // Not under the lock, because the end of a stream calls back.
    for observer in over { observer.finish() }
    return isChanged
  }

  /// The current state, then every change. A slow reader misses the oldest.
  func observe() -> AsyncStream<ClientState> {
    let (stream, continuation) = AsyncStream.makeStream(
      of: ClientState.self, bufferingPolicy: .bufferingNewest(ClientLimits.states))
    let number = shared.withLock { shared -> Int? in
      continuation.yield(shared.state)
      if case .over = shared.state { return nil }
      shared.observerCount += 1
      shared.observers[shared.observerCount] = continuation
      return shared.observerCount
    }
    guard let number else {
      continuation.finish()
      return stream
    }
    continuation.onTermination = { [weak self] _ in self?.remove(number) }
    return stream
  }

  private func remove(_ number: Int) {
    _ = shared.withLock { $0.observers.removeValue(forKey: number) }
  }
}
