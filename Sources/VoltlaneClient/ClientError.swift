import VoltlaneCrypto
import VoltlaneNIO
import VoltlaneText
import VoltlaneWire

/// What can go wrong for a client.
public indirect enum ClientError: Error, Equatable, Sendable {
  // Connecting.

  /// Nothing listens there, no way leads there, or the name does not resolve; the reason is the system's word for it.
  case unreachable(Endpoint, reason: String)
  /// The relay was not reached, or the handshake not done, within the connect timeout.
  case timeout(Duration)
  /// The relay accepted the connection and ended it before it gave out a client id, or before it was asked for an old
  /// one: it is full, is shutting down, or admits nobody while its backend is lost. There is no error packet that would
  /// say so.
  case closedDuringHandshake
  /// A handshake packet that cannot be read: what answers there is hardly a relay.
  case malformedHandshake(HandshakePacketError)
  /// A handshake packet that can be read and has no business here; the text names it.
  case unexpectedHandshakePacket(String)
  /// The relay's public key is not a point of the curve.
  case invalidRelayKey(KeyError)
  /// No key could be made for this client: the system has no memory for it.
  case noKey(KeyError)
  /// The relay's key is not the one of ``ClientOptions/relayKey``, of the saved session or of the earlier connections:
  /// another relay answers there, or one that has lost its key. SEC1 compressed, 33 bytes each.
  case wrongRelayKey(expected: [UInt8], received: [UInt8])

  // Coming back.

  /// The relay has no such session: it has ended, or ended with the relay.
  case sessionOver
  /// The relay did not let this client come back this time: it reset the connection, or closed it after its challenge
  /// was answered. The session may live on.
  case refused
  /// The challenge cannot be opened with this session's key: the other side shows the relay's public key without having
  /// its secret key, or the session belongs to another client.
  case invalidChallenge
  /// Another client seems to have the same ``ClientSession``, in another process perhaps: the relay closed three
  /// connections in a row soon after they were made, while the session lived on. The client comes back ever more
  /// rarely. What is sent to the session reaches the one or the other.
  case sessionShared
  /// ``ClientOptions/Reconnection/giveUpAfter`` has passed since the connection was lost; `last` is what the last
  /// attempt came to. The session may live on, and can be resumed as long as it does.
  case gaveUp(after: Duration, last: ClientError)
  /// A saved session whose keys are no keys.
  case invalidSession(KeyError)
  /// A session could not be loaded or saved.
  case sessionStore(SessionStoreError)

  // Connected.

  /// The connection ended otherwise than by the relay closing it between two packets. Packets may be missing where the
  /// client does not reconnect.
  case connectionLost(reason: String)
  /// The relay sent a packet of `size` bytes where `maximum` are allowed. The connection is closed.
  case oversizedPacket(size: Int, maximum: Int)
  /// A packet to send of `size` bytes where `maximum` are allowed. It was not sent, and the connection continues.
  case packetTooLarge(size: Int, maximum: Int)
  /// The client is closed, its session over, or its sending side finished: the packet was not sent.
  case closed
  /// The task was cancelled: the connection was not made, or the packet not sent.
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
