import VoltlaneCrypto

/// One client as the backend knows it: an id, which begins when it is sent to the client, and ends with one 0x01.
struct Session: BitwiseCopyable {
  enum State: UInt8 {
    case free
    /// Has a socket.
    case attached
    /// Has a socket whose client sent its FIN: packets are kept until they are acknowledged.
    case halfClosed
    /// Its socket ended; what the backend sends is kept until the client returns or the session's time runs out.
    case stale
    /// Over, but the 0x01 still waits for room in the uplink lane.
    case ending
  }

  /// What waits for room in the uplink lane, in the order in which the backend is told it.
  struct Owed: OptionSet {
    let rawValue: UInt8
    /// The 0x07 of a session that has begun.
    static let address = Owed(rawValue: 1)
    /// The 0x04 of one that went stale.
    static let away = Owed(rawValue: 2)
    /// The 0x01 of one that is over.
    static let failure = Owed(rawValue: 4)
    /// Nothing any more: it was told all the same, and is still in the list.
    static let nothing = Owed(rawValue: 8)
  }

  // This order loses least to alignment, which matters because there are many sessions.
  var id: UInt64
  /// Sessions that this slot has held. Stays when the slot is free.
  var generation: UInt64
  /// Where its client connected from last.
  var address: AddressKey
  var sessionKey: SessionKeyReference?
  /// When the session went stale.
  var staleSince: UInt64 = 0
  /// How long its client had taken nothing when its last socket ended: the next socket carries that on.
  var slowFor: UInt64 = 0
  /// What the client missed while stale.
  var missed = PendingBytes()
  /// The connection's slot; `.none` while stale.
  var connection: UInt32
  /// The list that the slot is in: free ones, or stale ones of one prefix, oldest first.
  var next: UInt32 = .none
  var previous: UInt32 = .none
  /// The next session of which the backend is owed something.
  var owedNext: UInt32 = .none
  /// Neighbours among all stale sessions, oldest first.
  var staleNext: UInt32 = .none
  var stalePrevious: UInt32 = .none
  /// The first of the connections that try to come back as this client.
  var attempts: UInt32 = .none
  let began: Ticks
  var holderLinks = HolderLinks()
  /// What had been carried when it last lost a connection, and what was kept for it since: its connection's
  /// ``Connection/traffic`` goes on from there.
  var kept = KeptTraffic()
  var state: State
  var reason: CloseReason = .staleTimeout
  var owed: Owed = []
  /// Whether the backend was told of the session: by a packet or a 0x03.
  var isHeardOf = false
  /// What a reconnection is checked against; the key agreement is done when first needed.
  var publicKey: PublicKey
}

/// The memory of packets that a stale session's client missed.
enum MissedPackets: HeldMemory {
  static func links(of session: Session) -> HolderLinks { session.holderLinks }
  static func setLinks(_ links: HolderLinks, of session: inout Session) { session.holderLinks = links }
  static func held(by session: Session) -> Int { session.missed.memory }
  static func used(by session: Session) -> Int { session.missed.count }
}
