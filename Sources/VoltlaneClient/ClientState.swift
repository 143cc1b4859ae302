/// The state of a client's connection to its relay.
public enum ClientState: Equatable, Sendable {
  /// On its first connection, whether as a new client or resumed.
  case connected
  /// The connection is lost. Attempt `attempt`, counted from 1 since then, comes next; `cause` is the reason for it:
  /// how the connection ended, or how the previous attempt failed. Packets that are sent meanwhile wait.
  case reconnecting(attempt: Int, cause: ClientError)
  /// On a later connection: the relay has taken the client back.
  case reconnected
  /// For good. Nothing follows.
  case over(ClientEnding)
}

/// How a client ended.
public enum ClientEnding: Equatable, Sendable {
  /// By ``Client/close()``, or because nothing referred to the client any more. The relay keeps the session for a
  /// while.
  case closed
  /// The relay closed the connection between two packets, and the client does not reconnect, or has finished. No packet
  /// from the relay is missing.
  case closedByRelay
  /// Anything else. ``ClientError/sessionOver``: the client asked to come back, and the relay said that the session has
  /// ended: the backend kicked the client, the relay was stopped or restarted, or the client was away for too long.
  /// Packets may be missing. ``ClientError/wrongRelayKey(expected:received:)``: another relay answers.
  case failed(ClientError)

  /// The error with which ``Client/packets`` end.
  var error: ClientError? {
    if case .failed(let error) = self { error } else { nil }
  }
}
