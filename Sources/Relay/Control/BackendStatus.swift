/// What the shards need to know about the backend's connection.
struct BackendStatus: Sendable {
  private let dropCount: SharedWord
  private let refusesWord: SharedWord

  init(_ arena: Arena) {
    dropCount = SharedWord(arena)
    refusesWord = SharedWord(arena)
  }

  /// How many times all sessions had to end with the backend's connection. A count, so that none is missed.
  @inline(__always) var drops: UInt64 { dropCount.published }

  /// Whether new clients are refused until the backend is back.
  var refusesClients: Bool {
    get { refusesWord.published != 0 }
    nonmutating set { refusesWord.published = newValue ? 1 : 0 }
  }

  func dropSessions() {
    refusesClients = true
    dropCount.add(1)
  }
}
