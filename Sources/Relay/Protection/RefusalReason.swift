/// Why a connection is not let in, or does not stay. A new reason is one line here, one in ``metric`` and one in
/// ``text``.
public enum RefusalReason: UInt8, Sendable, CaseIterable, BitwiseCopyable {
  /// Limits of the relay as a whole.
  case clients, acceptRate, descriptors, memory, handshakes, backendLost
  /// Limits of one address.
  case addressClients, prefixClients, addressAcceptRate, addressHandshakes, banned, denied, reconnectFailures
  /// A load balancer that breaks its own protocol.
  case proxyHeader
  /// It did not shake hands in time.
  case handshakeTimeout
  /// Of all unfinished packets, the largest was of a client in the handshake.
  case unfinishedPackets

  /// Whether the address itself did it, and nobody who shares no more than a network with it.
  var isOfAddress: Bool {
    switch self {
    case .addressClients, .addressAcceptRate, .addressHandshakes, .banned, .denied: true
    case .clients, .acceptRate, .descriptors, .memory, .handshakes, .backendLost, .prefixClients, .reconnectFailures,
      .proxyHeader, .handshakeTimeout, .unfinishedPackets:
      false
    }
  }

  public var metric: Metric {
    switch self {
    case .clients: .refusedClients
    case .acceptRate: .refusedAcceptRate
    case .descriptors: .refusedDescriptors
    case .memory: .refusedMemory
    case .handshakes: .refusedHandshakes
    case .backendLost: .refusedBackendLost
    case .addressClients: .refusedAddressClients
    case .prefixClients: .refusedPrefixClients
    case .addressAcceptRate: .refusedAddressAcceptRate
    case .addressHandshakes: .refusedAddressHandshakes
    case .banned: .refusedBanned
    case .denied: .refusedDenied
    case .reconnectFailures: .refusedReconnectFailures
    case .proxyHeader: .refusedProxyHeader
    case .handshakeTimeout: .refusedHandshakeTimeout
    case .unfinishedPackets: .refusedUnfinishedPackets
    }
  }

  /// The end of "clients refused: ".
  public var text: StaticString {
    switch self {
    case .clients: "as many as --max-clients are connected"
    case .acceptRate: "they come faster than --accept-rate"
    case .descriptors: "hardly any descriptors are left"
    case .memory: "the memory budget is nearly used up"
    case .handshakes: "as many as --max-pending-handshakes shake hands"
    case .backendLost: "the backend is lost"
    case .addressClients: "their address has as many as --max-clients-per-ip"
    case .prefixClients: "their network has as many as --max-clients-per-prefix"
    case .addressAcceptRate: "their address connects faster than --accept-rate-per-ip"
    case .addressHandshakes: "their address has as many handshakes as --max-pending-handshakes-per-ip"
    case .banned: "their address is banned"
    case .denied: "their address is in a --deny list"
    case .reconnectFailures:
      "their address failed to reconnect as often as --reconnect-failures, or the same -per-ip, allows"
    case .proxyHeader: "a proxy sent no valid PROXY header in time"
    case .handshakeTimeout: "they did not shake hands within --handshake-timeout"
    case .unfinishedPackets: "unfinished packets hold more than --assembly-budget"
    }
  }
}
