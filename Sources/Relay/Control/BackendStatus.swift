/// What the shards need to know about the backend's connection.
struct BackendStatus: Sendable {
  private let dropCount: SharedWord
  private let refusesWord: SharedWord
  private let stateWord: SharedWord
  private let connectedWord: SharedWord

  init(_ arena: Arena) {
    dropCount = SharedWord(arena)
    refusesWord = SharedWord(arena)
    stateWord = SharedWord(arena)
    connectedWord = SharedWord(arena)
  }

  /// How many times all sessions had to end with the backend's connection. A count, so that none is missed.
  @inline(__always) var drops: UInt64 { dropCount.published }

  /// Whether new clients are refused until the backend is back.
  var refusesClients: Bool {
    get { refusesWord.published != 0 }
    nonmutating set { refusesWord.published = newValue ? 1 : 0 }
  }

  /// For whoever looks from outside: the state of the connection, and since when it has been there, on the machine's
  /// clock.
  var state: FirehoseState {
    get { FirehoseState(rawValue: stateWord.relaxed) ?? .idle }
    nonmutating set { stateWord.relaxed = newValue.rawValue }
  }
  var connectedSince: UInt64 {
    get { connectedWord.relaxed }
    nonmutating set { connectedWord.relaxed = newValue }
  }

  func dropSessions() {
    refusesClients = true
    dropCount.add(1)
  }
}
