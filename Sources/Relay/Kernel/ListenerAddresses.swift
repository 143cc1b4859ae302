import VoltlaneText

/// Where a relay should listen, with all names looked up. That takes as long as a name server does, so it is done
/// before anything is opened that would have to be cleaned up again.
public struct ListenerAddresses: Sendable {
  let entries: [(endpoint: Endpoint, addresses: [SocketAddress])]

  /// Blocks while names are looked up.
  public init(_ listeners: [Endpoint]) throws(RelayError) {
    var entries: [(Endpoint, [SocketAddress])] = []
    for listener in listeners { entries.append((listener, try Self.addresses(of: listener))) }
    self.entries = entries
  }

  private static func addresses(of listener: Endpoint) throws(RelayError) -> [SocketAddress] {
    switch listener {
    case .unix(let path):
      guard let address = SocketAddress(unixPath: path) else {
        throw .address(listener, reason: "a unix path has at most \(Endpoint.longestPath) bytes")
      }
      return [address]
    case .tcp(let host, let port):
      switch SocketAddress.lookUp(host, port: port, passive: true) {
      case .success(let found): return found
      case .failure(let error): throw .address(listener, reason: error.message)
      }
    }
  }
}
