/// What is wrong with the data that a load balancer sent instead of a valid PROXY header.
enum ProxyFault: CaseIterable {
  case noHeader, line, version, command, family, addresses, values, checksum

  /// How the log and the counters describe it.
  var reason: RefusalReason {
    switch self {
    case .noHeader: .proxyNoHeader
    case .line: .proxyLine
    case .version: .proxyVersion
    case .command: .proxyCommand
    case .family: .proxyFamily
    case .addresses: .proxyAddresses
    case .values: .proxyValues
    case .checksum: .proxyChecksum
    }
  }
}
