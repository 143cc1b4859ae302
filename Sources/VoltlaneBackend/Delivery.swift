import VoltlaneWire

/// What happens to a packet that its client does not take at once.
public enum Delivery: Sendable {
  /// It waits, for a slow client within the relay's `client-send-buffer`, and for one that is away within its
  /// `missed-packets-buffer`. If that is full, the client is ended with `buffer overflow`.
  case kept
  /// It is dropped if the client is away, or if a quarter of `client-send-buffer` is waiting for it. It never ends a
  /// session and is never answered; it stays in order with the client's other packets. Use it for positions and other
  /// state of which only the newest counts.
  ///
  /// This needs a relay that knows volatile packets; an older one skips and counts them.
  case volatile

  var flag: UInt8 {
    switch self {
    case .kept: PacketFlag.data.rawValue
    case .volatile: ExtensionFlag.volatile.rawValue
    }
  }
}
