/// What is wrong with what a load balancer sent where a PROXY header was expected.
enum ProxyFault: CaseIterable {
  case noHeader, line, version, command, family, addresses, values, checksum

  /// What the log and the counters say of it.
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
