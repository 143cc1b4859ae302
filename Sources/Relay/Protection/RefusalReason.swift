/// Why a connection is not let in, or does not stay. A new reason is one line here, one in ``metric`` and one in
/// ``text``.
public enum RefusalReason: UInt8, Sendable, CaseIterable, BitwiseCopyable {
  /// Limits of the relay as a whole.
  case clients, acceptRate, descriptors, memory, handshakes, backendLost
  /// Limits of one address.
  case addressClients, prefixClients, addressAcceptRate, addressHandshakes, banned, denied, reconnectFailures
  /// A load balancer did not finish its PROXY header in time.
  case proxyHeader
  /// One that breaks its own protocol: ``ProxyFault``.
  case proxyNoHeader, proxyLine, proxyVersion, proxyCommand, proxyFamily, proxyAddresses, proxyValues, proxyChecksum
  /// It did not finish the handshake in time.
  case handshakeTimeout
  /// The largest unfinished packet belonged to a client in the handshake.
  case unfinishedPackets

  /// Whether the address itself caused it, and not others that share only a network with it.
  var isOfAddress: Bool {
    switch self {
    case .addressClients, .addressAcceptRate, .addressHandshakes, .banned, .denied: true
    case .clients, .acceptRate, .descriptors, .memory, .handshakes, .backendLost, .prefixClients, .reconnectFailures,
      .proxyHeader, .proxyNoHeader, .proxyLine, .proxyVersion, .proxyCommand, .proxyFamily, .proxyAddresses,
      .proxyValues, .proxyChecksum, .handshakeTimeout, .unfinishedPackets:
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
    case .proxyNoHeader: .refusedProxyNoHeader
    case .proxyLine: .refusedProxyLine
    case .proxyVersion: .refusedProxyVersion
    case .proxyCommand: .refusedProxyCommand
    case .proxyFamily: .refusedProxyFamily
    case .proxyAddresses: .refusedProxyAddresses
    case .proxyValues: .refusedProxyValues
    case .proxyChecksum: .refusedProxyChecksum
    case .handshakeTimeout: .refusedHandshakeTimeout
    case .unfinishedPackets: .refusedUnfinishedPackets
    }
  }

  /// The end of "clients refused: ".
  public var text: StaticString {
    switch self {
    case .clients: "--max-clients are connected already"
    case .acceptRate: "new connections exceed --accept-rate"
    case .descriptors: "hardly any file descriptors are left"
    case .memory: "the memory budget is nearly used up"
    case .handshakes: "--max-pending-handshakes are in the handshake already"
    case .backendLost: "the backend is lost"
    case .addressClients: "their address has --max-clients-per-ip connections already"
    case .prefixClients: "their network has --max-clients-per-prefix connections already"
    case .addressAcceptRate: "their address exceeds --accept-rate-per-ip"
    case .addressHandshakes: "their address has --max-pending-handshakes-per-ip handshakes already"
    case .banned: "their address is banned"
    case .denied: "their address is on a --deny list"
    case .reconnectFailures:
      "their address failed to reconnect too often for --reconnect-failures or --reconnect-failures-per-ip"
    case .proxyHeader: "a proxy did not finish its PROXY header within 3 s"
    case .proxyNoHeader: "a proxy sent something other than a PROXY header"
    case .proxyLine: "a proxy sent a PROXY header whose line is malformed or longer than 107 bytes"
    case .proxyVersion: "a proxy sent a PROXY header of a version that is neither 1 nor 2"
    case .proxyCommand: "a proxy sent a PROXY header whose command is neither LOCAL nor PROXY"
    case .proxyFamily: "a proxy sent a PROXY header of an unknown address family or protocol"
    case .proxyAddresses: "a proxy sent a PROXY header that is too short for its addresses"
    case .proxyValues: "a proxy sent a PROXY header whose values do not end where the header does"
    case .proxyChecksum: "a proxy sent a PROXY header whose checksum is wrong"
    case .handshakeTimeout: "they did not finish the handshake within --handshake-timeout"
    case .unfinishedPackets: "unfinished packets exceed --assembly-budget"
    }
  }
}
