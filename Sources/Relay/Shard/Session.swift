import VoltlaneCrypto

/// One client as the backend knows it: an id, born when it is sent to the client, and told to be over by one 0x01.
struct Session: MemoryHolder {
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

  var id: UInt64
  /// Sessions that this slot has held. Stays when the slot is free.
  var generation: UInt64
  /// The connection's slot; `.none` while stale.
  var connection: UInt32
  /// The list that the slot is in: free ones, those whose 0x01 waits, or stale ones of one prefix, oldest first.
  var next: UInt32 = .none
  var previous: UInt32 = .none
  /// Neighbours among all stale sessions, oldest first.
  var staleNext: UInt32 = .none
  var stalePrevious: UInt32 = .none
  var state: State
  var reason: CloseReason = .staleTimeout
  /// Whether the backend was told of the session: by a packet or a 0x03.
  var isHeardOf = false
  /// What a reconnection is checked against; the key agreement is done when first needed.
  var publicKey: PublicKey
  var sessionKey: SessionKeyReference?
  /// Where its client connected from last.
  var address: AddressKey
  /// The first of the connections that try to come back as this client.
  var attempts: UInt32 = .none
  /// When the session went stale.
  var staleSince: UInt64 = 0
  /// What the client missed while stale.
  var missed = PendingBytes()
  var holderLinks = HolderLinks()

  var heldBytes: Int { missed.count }
  var usedBytes: Int { heldBytes }
}
