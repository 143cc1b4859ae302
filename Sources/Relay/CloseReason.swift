/// Why a session ended, as the backend is told in the session's one 0x01. A new reason is one line here and one in
/// `text`, word for word what the protocol lists.
public enum CloseReason: UInt8, Sendable, CaseIterable, BitwiseCopyable {
  case staleTimeout, staleTableFull, bufferOverflow, kicked, packetTooLarge, packetTimeout, memory, backendLost
  case backendRefusedPacket, relayDraining

  /// The reason on the wire.
  public var text: StaticString {
    switch self {
    case .staleTimeout: "stale timeout"
    case .staleTableFull: "stale table full"
    case .bufferOverflow: "buffer overflow"
    case .kicked: "kicked"
    case .packetTooLarge: "packet too large"
    case .packetTimeout: "packet timeout"
    case .memory: "memory"
    case .backendLost: "backend lost"
    case .backendRefusedPacket: "backend refused packet"
    case .relayDraining: "relay draining"
    }
  }

  /// The answer to a packet for an id that is not a session; used for nothing else.
  static let unknownClient: StaticString = "unknown client"
}
