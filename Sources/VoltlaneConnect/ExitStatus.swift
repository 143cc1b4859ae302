import VoltlaneClient

/// The exit code for an error, by the numbers of sysexits.h.
func exitStatus(of error: any Error) -> Int32 {
  switch error {
  case let error as ClientError: exitStatus(of: error)
  case is LineTooLong: 65
  default: 74
  }
}

private func exitStatus(of error: ClientError) -> Int32 {
  switch error {
  case .malformedHandshake, .unexpectedHandshakePacket, .invalidRelayKey, .oversizedPacket, .packetTooLarge: 65
  case .unreachable, .timeout, .closedDuringHandshake: 69
  case .connectionLost, .closed, .cancelled, .noKey: 74
  }
}
