import VoltlaneWire

/// What becomes of a packet that a client does not take at once.
public enum Delivery: Sendable {
  /// It waits: for a slow client within the relay's `client-send-buffer`, for one that is away within its
  /// `missed-packets-buffer`. A client for which more would have to wait ends with `buffer overflow`.
  case kept
  /// It is dropped where the client is away, or a quarter of `client-send-buffer` waits for it. It never ends a session
  /// and is never answered; order with the client's other packets is kept. For positions and other states of which
  /// the newest is all that counts.
  ///
  /// Needs a relay that knows volatile packets; an older one skips and counts them.
  case volatile

  var flag: UInt8 {
    switch self {
    case .kept: PacketFlag.data.rawValue
    case .volatile: ExtensionFlag.volatile.rawValue
    }
  }
}
