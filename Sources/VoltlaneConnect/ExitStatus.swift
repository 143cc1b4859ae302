import VoltlaneClient

/// The exit code for an error, with the numbers of sysexits.h.
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
  case .invalidSession, .sessionStore: 66
  case .unreachable, .timeout, .closedDuringHandshake, .refused, .sessionShared: 69
  case .connectionLost, .closed, .cancelled, .noKey, .sessionOver: 74
  case .wrongRelayKey, .invalidChallenge: 77
  case .gaveUp(_, let last):
    switch last {
    // The last attempt says why the client could not come back; the loss itself does not.
    case .connectionLost: 69
    default: exitStatus(of: last)
    }
  }
}
