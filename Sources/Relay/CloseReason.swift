/// Why a session ended, as the backend is told in the session's one 0x01.
///
/// To add one, write a line here; its words in `text`, which are part of the protocol, because backends compare them (a
/// test compares the list in Protocol.md with them); its counter in `metric`; and in `isLimit` whether a limit caused
/// it. The compiler asks for the last three, and tests ask for its rows in Protocol.md and Operation.md. The room that
/// the uplink keeps for it follows from the longest text.
public enum CloseReason: UInt8, Sendable, CaseIterable, BitwiseCopyable {
  case staleTimeout, staleTableFull, bufferOverflow, kicked, packetTooLarge, packetTimeout, rateLimit, idleTimeout
  case slowClient, memory, backendLost, backendRefusedPacket, relayDraining

  /// The reason on the wire.
  public var text: StaticString {
    switch self {
    case .staleTimeout: "stale timeout"
    case .staleTableFull: "stale table full"
    case .bufferOverflow: "buffer overflow"
    case .kicked: "kicked"
    case .packetTooLarge: "packet too large"
    case .packetTimeout: "packet timeout"
    case .rateLimit: "rate limit"
    case .idleTimeout: "idle timeout"
    case .slowClient: "slow client"
    case .memory: "memory"
    case .backendLost: "backend lost"
    case .backendRefusedPacket: "backend refused packet"
    case .relayDraining: "relay draining"
    }
  }

  public var metric: Metric {
    switch self {
    case .staleTimeout: .endedStaleTimeout
    case .staleTableFull: .endedStaleTableFull
    case .bufferOverflow: .endedBufferOverflow
    case .kicked: .endedKicked
    case .packetTooLarge: .endedPacketTooLarge
    case .packetTimeout: .endedPacketTimeout
    case .rateLimit: .endedRateLimit
    case .idleTimeout: .endedIdleTimeout
    case .slowClient: .endedSlowClient
    case .memory: .endedMemory
    case .backendLost: .endedBackendLost
    case .backendRefusedPacket: .endedBackendRefusedPacket
    case .relayDraining: .endedRelayDraining
    }
  }

  /// Whether the session ended because of a limit of one client or of a table.
  var isLimit: Bool {
    switch self {
    case .staleTableFull, .bufferOverflow, .packetTooLarge, .packetTimeout, .rateLimit, .idleTimeout, .slowClient: true
    // The eviction logs which budget it was, because it knows.
    case .memory: false
    case .staleTimeout, .kicked, .backendLost, .backendRefusedPacket, .relayDraining: false
    }
  }

  /// The answer to a packet for an id that is not a session; used for nothing else.
  static let unknownClient: StaticString = "unknown client"

  /// Bytes of the longest text that an 0x01 may have.
  static var longestText: Int {
    allCases.reduce(unknownClient.utf8CodeUnitCount) { max($0, $1.text.utf8CodeUnitCount) }
  }
}
