import VoltlaneCrypto
import VoltlaneNIO
import VoltlaneText
import VoltlaneWire

/// What can go wrong for a client.
public indirect enum ClientError: Error, Equatable, Sendable {
  // Connecting.

  /// Nothing listens there, there is no route to it, or the name does not resolve; the reason is the system's
  /// description.
  case unreachable(Endpoint, reason: String)
  /// The relay was not reached, or the handshake not completed, within the connect timeout.
  case timeout(Duration)
  /// The relay accepted the connection, and ended it before it assigned a client id, or before the client could name an
  /// old one: it is full, is shutting down, or admits nobody while its backend is lost. The protocol has no error
  /// packet that would say which.
  case closedDuringHandshake
  /// A handshake packet that cannot be read: whatever answers there is probably not a relay.
  case malformedHandshake(HandshakePacketError)
  /// A valid handshake packet that does not belong here; the text names it.
  case unexpectedHandshakePacket(String)
  /// The relay's public key is not a point on the curve.
  case invalidRelayKey(KeyError)
  /// No key could be made for this client: the system has no memory for it.
  case noKey(KeyError)
  /// The relay's key is not the one of ``ClientOptions/relayKey``, of the saved session or of the earlier connections:
  /// another relay answers there, or one that has lost its key. SEC1 compressed, 33 bytes each.
  case wrongRelayKey(expected: [UInt8], received: [UInt8])

  // Coming back.

  /// The relay has no such session: it has ended, or ended with the relay.
  case sessionOver
  /// The relay did not take this client back this time: it reset the connection, or closed it after its challenge was
  /// answered. The session may live on.
  case refused
  /// The challenge cannot be opened with this session's key: the other side presents the relay's public key without
  /// having its secret key, or the session belongs to another client.
  case invalidChallenge
  /// Another client, perhaps in another process, seems to use the same ``ClientSession``: the relay closed three
  /// connections in a row soon after they were made, while the session lived on. The client comes back less and less
  /// often. What is sent to the session reaches one of the two.
  case sessionShared
  /// ``ClientOptions/Reconnection/giveUpAfter`` has passed since the connection was lost; `last` is the outcome of the
  /// last attempt. The session may live on, and can be resumed as long as it does.
  case gaveUp(after: Duration, last: ClientError)
  /// A saved session whose keys are not valid.
  case invalidSession(KeyError)
  /// A session could not be loaded or saved.
  case sessionStore(SessionStoreError)

  // Connected.

  /// The connection ended in another way than by the relay closing it between two packets. If the client does not
  /// reconnect, packets may be missing.
  case connectionLost(reason: String)
  /// The relay sent a packet of `size` bytes, and `maximum` are allowed. The connection is closed.
  case oversizedPacket(size: Int, maximum: Int)
  /// A packet of `size` bytes was to be sent, and `maximum` are allowed. It was not sent, and the connection continues.
  case packetTooLarge(size: Int, maximum: Int)
  /// The client is closed, its session is over, or its sending side is finished: the packet was not sent.
  case closed
  /// The task was cancelled: the connection was not made, or the packet was not sent.
  case cancelled
}

extension ClientError: CustomStringConvertible {
  public var description: String {
    switch self {
    case .unreachable(let endpoint, let reason): "cannot reach \(endpoint): \(reason)"
    case .timeout(let timeout): "no answer from the relay within \(timeout)"
    case .closedDuringHandshake:
      "the relay refused the connection: it is full, refuses this address, is shutting down, or has lost its backend"
    case .malformedHandshake(let error): "no relay answers there: \(error)"
    case .unexpectedHandshakePacket(let name): "no relay answers there: a \(name) came out of order in the handshake"
    case .invalidRelayKey(let error): "the relay's key is invalid: \(error)"
    case .noKey(let error): "cannot make a key: \(error)"
    case .wrongRelayKey(let expected, let received):
      """
      the relay's key is \(hexadecimal(received)), not \(hexadecimal(expected)) as expected: another relay answers \
      there, or this one has a new key
      """
    case .sessionOver:
      "the session is over: the relay or its backend ended it, the relay was restarted, or the client was away too long"
    case .refused: "the relay refused to take the client back this time"
    case .invalidChallenge:
      "the relay's challenge cannot be opened: the session belongs to another client, or this is not a relay"
    case .sessionShared: "another client has the same session, and takes it away again and again"
    case .gaveUp(let time, let last): "gave up after \(time): \(last)"
    case .invalidSession(let error): "the saved session is invalid: \(error)"
    case .sessionStore(let error): "\(error)"
    case .connectionLost(let reason): "the connection to the relay was lost: \(reason)"
    case .oversizedPacket(let size, let maximum):
      "the relay sent a packet of \(size) bytes; at most \(maximum) are allowed"
    case .packetTooLarge(let size, let maximum):
      "a packet of \(size) bytes is too large; at most \(maximum) are allowed"
    case .closed: "the client is closed"
    case .cancelled: "the task was cancelled"
    }
  }
}
