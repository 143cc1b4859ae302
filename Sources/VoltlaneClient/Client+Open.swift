import VoltlaneCrypto

/// How a client came by its session.
public enum SessionOrigin: Equatable, Sendable {
  /// It is new: nothing was saved, or nobody asked.
  case new
  /// It is the saved one, which continues.
  case resumed
  /// It is new, because the saved one is over. The backend was told of the end of `previous`, and does not know that
  /// this is the same client.
  case replaced(previous: UInt64)
}

extension Client {
  /// A client for the whole life of a program, including its restarts: it resumes the session in `store`, tries again
  /// while the relay is away, and begins and saves a new session if there is none or the old one is over. ``origin``
  /// says which of these happened.
  ///
  ///     let store = FileSessionStore(path: "ada.session")
  ///     let client = try await Client.open(at: Endpoint("relay.example.org:42000"), store: store)
  ///
  /// The session counts as over once the relay has said so twice. A new session has to be with the same relay: the
  /// relay's key stays pinned, and a relay with another key is rejected with
  /// ``ClientError/wrongRelayKey(expected:received:)``. Then another relay is answering, or the relay's key was
  /// changed; a person has to decide which it is, and remove the session if the change was intended.
  ///
  /// When the session ends later, ``packets`` end with ``ClientError/sessionOver`` as usual. Opening again with the
  /// same store begins a new session:
  ///
  ///     while true {
  ///       let client = try await Client.open(at: endpoint, store: store)
  ///       do { for try await packet in client.packets { use(packet) } } catch ClientError.sessionOver { continue }
  ///       break
  ///     }
  ///
  /// - Parameters:
  ///   - endpoint: Where the relay is.
  ///   - store: Where the session is kept.
  ///   - options: Of the client, and of each of its connections.
  ///   - retry: How often, and for how long, to try while the relay is away, is full, or gives no clear answer; nil:
  ///     once. This concerns the first connection only; ``ClientOptions/reconnection`` has a policy of its own.
  ///   - onRetry: Is called after each failed attempt that is followed by another, with its number, counted from 1, and
  ///     the cause.
  ///
  /// Throws ``ClientError/sessionStore(_:)``, ``ClientError/gaveUp(after:last:)``, ``ClientError/cancelled``, what says
  /// that no relay is there (``ClientError/malformedHandshake(_:)`` and such), and without `retry` also what
  /// ``connect(to:options:)`` and ``resume(_:to:options:)`` throw.
  public static func open(
    at endpoint: Endpoint, store: any SessionStore, options: ClientOptions = ClientOptions(),
    retry: ClientOptions.Reconnection? = ClientOptions.Reconnection(),
    onRetry: @Sendable (_ attempt: Int, _ cause: ClientError) -> Void = { _, _ in }
  ) async throws(ClientError) -> Client {
    try await open(at: endpoint, store: store, options: options, retry: retry, onRetry: onRetry, pacing: .real)
  }

  static func open(
    at endpoint: Endpoint, store: any SessionStore, options: ClientOptions, retry: ClientOptions.Reconnection?,
    onRetry: @Sendable (Int, ClientError) -> Void, pacing: Pacing
  ) async throws(ClientError) -> Client {
    var opening = Opening(endpoint: endpoint, options: options, saved: try await load(store), pacing: pacing)
    let begin = pacing.now()
    var backoff = Backoff(retry ?? .init())
    var attempt = 0
    while true {
      attempt += 1
      do {
        let client = try await opening.attempt(store)
        if opening.isNew { try await save(client, in: store) }
        return client
      } catch {
        guard let retry, error.mayPass else { throw error }
        var delay = backoff.next(fraction: pacing.fraction())
        if let time = retry.giveUpAfter {
          let left = time - (pacing.now() - begin)
          guard left > .zero else { throw .gaveUp(after: time, last: error) }
          delay = min(delay, left)
        }
        onRetry(attempt, error)
        try await sleep(delay, pacing)
      }
    }
  }

  private static func load(_ store: any SessionStore) async throws(ClientError) -> ClientSession? {
    do {
      return try await store.load()
    } catch {
      throw .sessionStore(error)
    }
  }

  /// A client whose session cannot be saved could not come back.
  private static func save(_ client: Client, in store: any SessionStore) async throws(ClientError) {
    do {
      try await store.save(client.session)
    } catch {
      await client.close()
      throw .sessionStore(error)
    }
  }

  private static func sleep(_ delay: Duration, _ pacing: Pacing) async throws(ClientError) {
    do {
      try await pacing.sleep(delay)
    } catch {
      throw .cancelled
    }
  }
}

/// What is known so far about a client that is being opened.
private struct Opening {
  let endpoint: Endpoint
  var options: ClientOptions
  let saved: ClientSession?
  let pacing: Pacing
  /// The relay has said, twice, that the saved session is over.
  private var isOver = false

  init(endpoint: Endpoint, options: ClientOptions, saved: ClientSession?, pacing: Pacing) {
    self.endpoint = endpoint
    self.options = options
    self.saved = saved
    self.pacing = pacing
  }

  var isNew: Bool { saved == nil || isOver }

  mutating func attempt(_ store: any SessionStore) async throws(ClientError) -> Client {
    if let saved, !isOver {
      do {
        return try await Client.resume(saved, to: endpoint, options: options, pacing: pacing, store: store)
      } catch {
        guard error == .sessionOver else { throw error }
        isOver = true
        // It is still the same relay.
        options.relayKey = options.relayKey ?? saved.relayKey
      }
    }
    return try await Client.connect(
      to: endpoint, options: options, pacing: pacing, origin: saved.map { .replaced(previous: $0.clientID) } ?? .new,
      store: store)
  }
}

extension ClientError {
  /// Whether another attempt to open may have a different outcome.
  fileprivate var mayPass: Bool {
    switch self {
    case .unreachable, .timeout, .closedDuringHandshake, .refused, .sessionOver, .connectionLost: true
    default: false
    }
  }
}
