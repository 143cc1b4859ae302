import VoltlaneClient

/// What to do about an error, as the end of the sentence that reports it; nil if that already says it.
func advice(on error: any Error, _ configuration: Configuration) -> String? {
  (error as? ClientError).flatMap { advice(on: $0, configuration) }
}

private func advice(on error: ClientError, _ configuration: Configuration) -> String? {
  switch error {
  case .unreachable: "check the address, and that the relay is running"
  case .timeout: "check the address and the network, or allow more time with --connect-timeout"
  case .closedDuringHandshake, .refused: "try again later; the relay's log says more"
  case .malformedHandshake, .unexpectedHandshakePacket, .invalidRelayKey: "check the address"
  case .wrongRelayKey: adviceOnAnotherKey(configuration)
  case .sessionOver: "start again to begin a new one"
  case .invalidChallenge, .invalidSession:
    configuration.session.map { "remove \($0.path) to begin a new session" } ?? "start again to begin a new session"
  case .gaveUp(_, let last): advice(on: last, configuration)
  case .connectionLost: configuration.options.reconnection == nil ? "start again to reconnect" : nil
  case .oversizedPacket, .packetTooLarge: "give the relay's --max-packet-size to this program too"
  case .noKey: "free some memory"
  case .sessionShared: "give each of them a session of its own with --session"
  case .closed, .cancelled, .sessionStore: nil
  }
}

private func adviceOnAnotherKey(_ configuration: Configuration) -> String {
  if configuration.options.relayKey != nil {
    return "if its key was meant to change, give the new one with --relay-key"
  }
  guard let file = configuration.session else { return "start again if you trust the new key" }
  return "if its key was meant to change, remove \(file.path) to begin a new session"
}
