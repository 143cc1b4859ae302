import NIOCore
import Synchronization
import VoltlaneCrypto
import VoltlaneNIO
import VoltlaneText

/// Keeps a client's session connected: it waits for the end of a connection, and then makes the next one or gives up.
///
/// It runs in a task of its own, which refers to it, and which ``close()`` ends.
final class Link: Sendable {
  let identity: Identity
  let key: SecretKey
  let queues: Queues
  let states = StateBroadcast()

  private let place: Place
  private let pacing: Pacing
  private let current: Mutex<Current>

  /// Where and how to connect.
  private struct Place: Sendable {
    var endpoint: Endpoint
    var options: ClientOptions
    /// All connections of a client are on one event loop.
    var loop: any EventLoop

    func open(_ handshake: Handshake, queues: Queues, timeout: Duration) async throws(ClientError) -> Connection {
      try await Connection.open(
        to: endpoint, on: loop, handshake: handshake, queues: queues, options: options, timeout: timeout)
    }
  }

  private struct Current {
    /// The latest connection, which may have ended.
    var connection: Connection
    var task: Task<Void, Never>?
    /// Ends the delay or the attempt that is under way.
    var interrupt: (@Sendable () -> Void)?
    /// The application wants a new connection at once.
    var isHurried = false
  }

  private init(_ connection: Connection, key: SecretKey, queues: Queues, place: Place, pacing: Pacing) {
    identity = connection.identity
    self.key = key
    self.queues = queues
    self.place = place
    self.pacing = pacing
    current = Mutex(Current(connection: connection))
  }

  /// Makes the first connection: as a new client, or as `identity` if that is given. It makes one attempt, and one more
  /// if the session is over, as ``comeBack(after:_:_:)`` does.
  static func open(
    to endpoint: Endpoint, key: SecretKey, as identity: Identity?, relayKey: PublicKey?, options: ClientOptions,
    pacing: Pacing
  ) async throws(ClientError) -> Link {
    let queues = Queues(options)
    let place = Place(endpoint: endpoint, options: options, loop: options.group.next())
    let handshake =
      identity.map { Handshake(returning: $0, sessionKey: key.sessionKey(with: $0.relayKey)) }
      ?? Handshake(newWith: key.publicKey, relayKey: relayKey)
    let connection: Connection
    do {
      connection = try await place.open(handshake, queues: queues, timeout: options.connectTimeout)
    } catch {
      guard error == .sessionOver else { throw error }
      var backoff = Backoff(options.reconnection ?? .init())
      try await sleep(backoff.next(fraction: pacing.fraction()), pacing)
      connection = try await place.open(handshake, queues: queues, timeout: options.connectTimeout)
    }
    let link = Link(connection, key: key, queues: queues, place: place, pacing: pacing)
    link.current.withLock { $0.task = Task { await link.run(connection) } }
    return link
  }

  var remoteAddress: Endpoint? { current.withLock { $0.connection.remoteAddress } }

  /// Ends it for good, at once. The future is that of the latest connection's end.
  @discardableResult
  func close() -> EventLoopFuture<ClientError?> {
    end(.closed)
    let (connection, task) = current.withLock { ($0.connection, $0.task) }
    task?.cancel()
    connection.channel.close(promise: nil)
    return connection.ended
  }

  /// Gives up the connection, or the delay or attempt in its place, and makes a new attempt at once.
  func reconnectNow() {
    guard place.options.reconnection != nil, !queues.outbox.hasFinished else { return }
    let (connection, interrupt) = current.withLock { current in
      current.isHurried = true
      return (current.connection, current.interrupt)
    }
    if let interrupt { interrupt() } else { connection.channel.close(promise: nil) }
  }

  // MARK: -

  private func run(_ first: Connection) async {
    var connection = first
    var takeovers = 0
    var backoff = Backoff(place.options.reconnection ?? .init())
    while true {
      let begin = pacing.now()
      let loss = await connection.end()
      guard let policy = place.options.reconnection, isWorthComingBack(after: loss) else {
        return end(loss.map { .failed($0) } ?? .closedByRelay)
      }
      let isSettled = pacing.now() - begin >= ClientLimits.settled
      if isSettled { backoff.startOver() }
      // Closed in order while young: by the relay, which is certain once the session turns out to be alive.
      takeovers = isSettled || loss != nil || isHurried ? 0 : takeovers + 1
      do {
        connection = try await comeBack(after: loss, policy, &backoff, takeovers: takeovers)
      } catch {
        return end(.failed(error))
      }
      current.withLock { current in
        current.connection = connection
        current.isHurried = false
        current.interrupt = nil
      }
      // Closed meanwhile: whoever closed it may have seen only the previous connection.
      guard states.change(to: .reconnected) else { return connection.channel.close(promise: nil) }
    }
  }

  private func isWorthComingBack(after loss: ClientError?) -> Bool {
    // A relay that sent too much would do so again.
    if case .oversizedPacket = loss { return false }
    return !queues.outbox.hasFinished
  }

  /// Tries until the relay takes the client back. Two answers are final: another key, and that the session is over, if
  /// it comes twice; the first time it may have been a proxy that closed, or that turned a reset into a FIN. Everything
  /// else may pass: a relay that is not running yet, or is full, or something else at its address.
  private func comeBack(
    after loss: ClientError?, _ policy: ClientOptions.Reconnection, _ backoff: inout Backoff, takeovers: Int
  ) async throws(ClientError) -> Connection {
    let begin = pacing.now()
    let handshake = Handshake(returning: identity, sessionKey: key.sessionKey(with: identity.relayKey))
    var cause = loss ?? .connectionLost(reason: "the relay closed it")
    var attempt = 0
    var hasHeardThatItIsOver = false
    /// The time left until it gives up; throws if there is none.
    func timeLeft() throws(ClientError) -> Duration {
      guard let time = policy.giveUpAfter else { return .seconds(Int64.max) }
      let left = time - (pacing.now() - begin)
      guard left > .zero else { throw .gaveUp(after: time, last: cause) }
      return left
    }
    var sharedDelay = Self.sharedDelay(policy, takeovers)
    if sharedDelay != nil { cause = .sessionShared }
    while true {
      attempt += 1
      if takeHurry() {
        backoff.startOver()
        cause = .connectionLost(reason: "the application wants a new one")
        sharedDelay = .zero
      }
      guard states.change(to: .reconnecting(attempt: attempt, cause: cause)) else { throw .closed }
      let delay = min(sharedDelay ?? backoff.next(fraction: pacing.fraction()), try timeLeft())
      sharedDelay = nil
      do {
        if delay > .zero {
          try await interruptible { [pacing] () throws(ClientError) in try await Self.sleep(delay, pacing) }
        }
        let timeout = min(place.options.connectTimeout, try timeLeft())
        return try await interruptible { [place, queues] () throws(ClientError) in
          try await place.open(handshake, queues: queues, timeout: timeout)
        }
      } catch {
        switch error {
        case .cancelled where isHurried && !Task.isCancelled: continue
        case .wrongRelayKey, .cancelled, .gaveUp: throw error
        case .sessionOver where hasHeardThatItIsOver: throw error
        case .sessionOver: hasHeardThatItIsOver = true
        // It challenges no client whose session is over, and never says "later".
        case .refused, .invalidChallenge: hasHeardThatItIsOver = false
        default: break
        }
        cause = error
      }
    }
  }

  /// The delay of a client that shares its session; nil if it does not seem to share it.
  private static func sharedDelay(_ policy: ClientOptions.Reconnection, _ takeovers: Int) -> Duration? {
    guard takeovers >= ClientLimits.takeovers else { return nil }
    return min(policy.lastDelay * (1 << min(takeovers - ClientLimits.takeovers, 10)), ClientLimits.sharedDelay)
  }

  private var isHurried: Bool { current.withLock { $0.isHurried } }

  private func takeHurry() -> Bool {
    current.withLock { current in
      defer { current.isHurried = false }
      return current.isHurried
    }
  }

  /// Does `work` in a task that ``reconnectNow()`` cancels, and that ends with this one.
  private func interruptible<Result: Sendable>(
    _ work: @escaping @Sendable () async throws(ClientError) -> Result
  ) async throws(ClientError) -> Result {
    let task = Task { () -> Swift.Result<Result, ClientError> in
      do throws(ClientError) { return .success(try await work()) } catch { return .failure(error) }
    }
    // Already asked to hurry: then it is not waited for.
    let isLate = current.withLock { current in
      current.interrupt = { task.cancel() }
      return current.isHurried
    }
    if isLate { task.cancel() }
    let result = await withTaskCancellationHandler {
      await task.value
    } onCancel: {
      task.cancel()
    }
    return try result.get()
  }

  private static func sleep(_ duration: Duration, _ pacing: Pacing) async throws(ClientError) {
    do {
      try await pacing.sleep(duration)
    } catch {
      throw .cancelled
    }
  }

  /// Only the first ending counts.
  private func end(_ ending: ClientEnding) {
    guard states.change(to: .over(ending)) else { return }
    queues.outbox.close()
    queues.inbox.finish(ending.error)
  }
}
