/// Flags of the firehose beyond ``PacketFlag``: for backends that speak to many, and want to know to whom.
public enum ExtensionFlag: UInt8, Sendable, BitwiseCopyable, CaseIterable {
  /// The client's connection is lost, and its session waits for it. Relay to backend where it was told to (`--away
  /// on`), no data.
  case away = 4
  /// The client's packet, which is worth nothing later: dropped where it cannot be delivered soon. Backend to relay.
  case volatile = 5
  /// One packet for many clients: see ``Multicast``. Backend to relay.
  case multicast = 6
  /// Where the client connects from: see ``PeerAddress``. Relay to backend where it was told to (`--addresses on`).
  case address = 7
}
