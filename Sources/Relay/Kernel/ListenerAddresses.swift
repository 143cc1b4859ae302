import VoltlaneText

/// A listening socket that the process was started with, under a name.
public struct PassedListener: Sendable {
  let name: String
  let socket: Int32

  public init(name: String, socket: Int32) {
    self.name = name
    self.socket = socket
  }
}

/// Where a relay should listen, with all names looked up. That takes as long as a name server does, so it is done
/// before anything is opened that would have to be cleaned up again.
public struct ListenerAddresses: Sendable {
  let entries: [(endpoint: Endpoint, addresses: [SocketAddress])]
  /// Sockets that listen already.
  public let passed: [PassedListener]

  /// Blocks while names are looked up. `passed`: sockets that listen already, which are the relay's from now on.
  public init(_ listeners: [Endpoint], passed: [PassedListener] = []) throws(RelayError) {
    self.passed = passed
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
