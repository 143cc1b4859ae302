import NIOCore
import VoltlaneCrypto
import VoltlaneWire

/// What a relay and a client know about each other once they have shaken hands.
struct Identity: Equatable, Sendable {
  var clientID: UInt64
  var relayKey: PublicKey
}

/// The client's side of the handshake, version 2. No I/O: bytes in, bytes out.
///
/// A new client:
///
///     C -> R  protocol version 2
///     C -> R  public key of the client
///     R -> C  public key of the relay
///     R -> C  client id
///
/// The relay answers in this order whether or not the client waits for its key, and nothing that the client sends
/// depends on the key, so both packets are sent at once, which saves a round trip.
///
/// A client that comes back:
///
///     C -> R  protocol version 2
///     R -> C  public key of the relay       must be the one that is known
///     C -> R  client id
///     R -> C  challenge: 32 bytes, sealed
///     C -> R  the same 32 bytes, sealed anew under a fresh nonce
///     C -> R  ping
///     R -> C  ping                          from here on the session is on this connection
///
/// The id is sent only after the relay's key has arrived: nobody else should see it, and an orderly close after the id
/// has a meaning.
struct Handshake: Sendable {
  enum Step {
    /// More has to arrive.
    case more
    case send([UInt8])
    case done(Identity)
  }

  private enum State {
    case awaitingRelayKey(Purpose)
    case awaitingClientID(relayKey: PublicKey)
    case awaitingChallenge(Identity, SessionKey)
    case awaitingPing(Identity)
  }

  private enum Purpose {
    case newSession
    case oldSession(clientID: UInt64, SessionKey)
  }

  /// What the client sends first, without waiting for anything.
  let opening: [UInt8]
  /// The only relay key that is accepted; nil: any.
  private let knownRelayKey: PublicKey?
  private var state: State

  /// For a new client with this key.
  init(newWith key: PublicKey, relayKey: PublicKey?) {
    opening =
      FramedHandshakePacket.protocolVersion().bytes + key.withCompressed { FramedHandshakePacket.publicKey($0) }.bytes
    knownRelayKey = relayKey
    state = .awaitingRelayKey(.newSession)
  }

  /// For a client that comes back.
  init(returning identity: Identity, sessionKey: SessionKey) {
    opening = FramedHandshakePacket.protocolVersion().bytes
    knownRelayKey = identity.relayKey
    state = .awaitingRelayKey(.oldSession(clientID: identity.clientID, sessionKey))
  }

  /// Takes one packet from the relay.
  mutating func receive(_ packet: RawSpan) throws(ClientError) -> Step {
    switch (state, try decode(packet)) {
    case (.awaitingRelayKey(let purpose), .publicKey(let place)):
      return try receive(try publicKey(packet.extracting(place)), for: purpose)
    case (.awaitingClientID(let relayKey), .clientID(let id)):
      return .done(Identity(clientID: id, relayKey: relayKey))
    case (.awaitingChallenge(let identity, let key), .challenge(let place)):
      state = .awaitingPing(identity)
      return .send(try Self.response(to: packet.extracting(place), key: key) + FramedHandshakePacket.ping.bytes)
    case (.awaitingPing(let identity), .ping):
      return .done(identity)
    case (_, let other):
      throw .unexpectedHandshakePacket(name(other))
    }
  }

  /// What it means if the connection ends now. `isOrderly`: the relay closed it between two packets.
  func ending(isOrderly: Bool) -> ClientError {
    switch state {
    case .awaitingRelayKey, .awaitingClientID: .closedDuringHandshake
    // An orderly close here means that the relay has no such session; every other refusal is a reset, or ends within a
    // packet.
    case .awaitingChallenge: isOrderly ? .sessionOver : .refused
    case .awaitingPing: .refused
    }
  }

  private mutating func receive(_ relayKey: PublicKey, for purpose: Purpose) throws(ClientError) -> Step {
    if let knownRelayKey, relayKey != knownRelayKey {
      throw .wrongRelayKey(expected: knownRelayKey.compressed, received: relayKey.compressed)
    }
    switch purpose {
    case .newSession:
      state = .awaitingClientID(relayKey: relayKey)
      return .more
    case .oldSession(let id, let key):
      state = .awaitingChallenge(Identity(clientID: id, relayKey: relayKey), key)
      return .send(FramedHandshakePacket.clientID(id).bytes)
    }
  }

  private static func response(to challenge: RawSpan, key: SessionKey) throws(ClientError) -> [UInt8] {
    guard let plain = SealedBox.open(challenge, key: key) else { throw .invalidChallenge }
    var random = SystemRandomNumberGenerator()
    let nonce = SealedBox.Nonce { _ in UInt8.random(in: 0...255, using: &random) }
    let box = SealedBox.seal(ByteBuffer(plain).readableBytesSpan, key: key, nonce: nonce)
    return FramedHandshakePacket.challengeResponse(ByteBuffer(box).readableBytesSpan).bytes
  }

  private func decode(_ packet: RawSpan) throws(ClientError) -> HandshakePacket {
    do {
      return try HandshakePacket.decode(packet)
    } catch {
      throw .malformedHandshake(error)
    }
  }

  private func publicKey(_ bytes: RawSpan) throws(ClientError) -> PublicKey {
    do {
      return try PublicKey(sec1: bytes)
    } catch {
      throw .invalidRelayKey(error)
    }
  }

  private func name(_ packet: HandshakePacket) -> String {
    switch packet {
    case .ping: "ping"
    case .protocolVersion: "protocol version"
    case .publicKey: "public key"
    case .clientID: "client id"
    case .challenge: "challenge"
    case .challengeResponse: "challenge response"
    }
  }
}
