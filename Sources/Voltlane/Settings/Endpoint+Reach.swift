import VoltlaneText

extension Endpoint {
  /// Whether dialling `dialled` on this machine reaches a listener on this endpoint, as far as the texts tell: names
  /// are not looked up.
  func isReached(at dialled: Endpoint) -> Bool {
    guard case .tcp(let host, let port) = self, case .tcp(let dialledHost, let dialledPort) = dialled else {
      return self == dialled
    }
    guard port == dialledPort else { return false }
    return host.lowercased() == dialledHost.lowercased()
      || Self.isLoopback(dialledHost) && (Self.isAny(host) || Self.isLoopback(host))
  }

  /// Whether it is on the loopback, as far as the text tells.
  var isOfThisMachine: Bool {
    guard case .tcp(let host, _) = self else { return true }
    return Self.isLoopback(host)
  }

  private static func isAny(_ host: String) -> Bool { ["0.0.0.0", "::"].contains(host) }

  /// Dialling the wildcard address reaches the loopback.
  private static func isLoopback(_ host: String) -> Bool {
    ["localhost", "127.0.0.1", "::1"].contains(host.lowercased()) || isAny(host)
  }
}
