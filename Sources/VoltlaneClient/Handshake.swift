import VoltlaneCrypto
import VoltlaneWire

/// What a relay and a new client know of each other once they have shaken hands.
struct Identity: Sendable {
  var clientID: UInt64
  var relayKey: PublicKey
}

/// The client's side of the handshake, version 2, for a new client. No I/O: bytes in, bytes out.
///
///     C -> R  protocol version 2
///     C -> R  public key of the client
///     R -> C  public key of the relay
///     R -> C  client id
///
/// The relay answers in this order whether or not the client waits for its key, and nothing that the client sends
/// depends on it: so both packets go out at once, which saves a round trip.
struct Handshake {
  private enum State {
    case awaitingRelayKey
    case awaitingClientID(relayKey: PublicKey)
  }

  private var state = State.awaitingRelayKey

  /// What a new client with this key sends, without waiting for anything.
  static func opening(_ key: PublicKey) -> [UInt8] {
    FramedHandshakePacket.protocolVersion().bytes + key.withCompressed { FramedHandshakePacket.publicKey($0) }.bytes
  }

  /// Takes one packet from the relay. Returns the identity once it is complete.
  mutating func receive(_ packet: RawSpan) throws(ClientError) -> Identity? {
    switch (state, try decode(packet)) {
    case (.awaitingRelayKey, .publicKey(let place)):
      state = .awaitingClientID(relayKey: try publicKey(packet.extracting(place)))
      return nil
    case (.awaitingClientID(let relayKey), .clientID(let id)):
      return Identity(clientID: id, relayKey: relayKey)
    case (_, let other):
      throw .unexpectedHandshakePacket(name(other))
    }
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
