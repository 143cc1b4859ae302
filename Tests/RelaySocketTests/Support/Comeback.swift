import Vectors
import VoltlaneCrypto
import VoltlaneWire

/// An attempt to come back as an earlier client, step by step.
struct Comeback {
  /// The key of every ``RawClient``'s session.
  static let sessionKey: SessionKey = {
    do {
      let secret = try SecretKey(bytes: Vectors.shared["keys", "client_secret"].span.bytes)
      return try secret.sessionKey(
        with: PublicKey(sec1: Vectors.shared["keys", "server_public_compressed"].span.bytes))
    } catch {
      preconditionFailure("the vectors' keys: \(error)")
    }
  }()

  let socket: RawSocket
  let id: UInt64
  /// The box of the challenge.
  let challenge: [UInt8]

  /// Names the session, and takes the challenge. Where the relay refuses, that is thrown as ``SocketFailure/ended``.
  init(_ socket: RawSocket, _ id: UInt64) throws {
    self.socket = socket
    self.id = id
    try Comeback.name(id, socket)
    challenge = try Comeback.receiveChallenge(socket)
  }

  static func name(_ id: UInt64, _ socket: RawSocket) throws {
    try socket.send(RawClient.version + FramedHandshakePacket.clientID(id).bytes)
  }

  static func receiveChallenge(_ socket: RawSocket) throws -> [UInt8] {
    let key = try socket.receive(RawClient.relayKey.count)
    guard key == RawClient.relayKey else { throw SocketFailure.ended(.fin, received: key) }
    let packet = try socket.receivePacket()
    guard packet.count == 2 + SealedBox.byteCount, packet.starts(with: [4, 72]) else {
      throw SocketFailure.ended(.fin, received: packet)
    }
    return Array(packet[2...])
  }

  /// What answers the challenge: its plain bytes, sealed anew under the nonce that `seed` gives.
  func response(seed: Int = 1, key: SessionKey = Comeback.sessionKey) throws -> [UInt8] {
    guard let plain = SealedBox.open(challenge.span.bytes, key: Comeback.sessionKey) else {
      throw SocketFailure.ended(.fin, received: challenge)
    }
    return Comeback.response(plain, seed: seed, key: key)
  }

  static func response(_ plain: SealedBox.Plain, seed: Int, key: SessionKey) -> [UInt8] {
    let bytes = pattern(SealedBox.nonceByteCount, seed)
    let nonce = SealedBox.Nonce { bytes[$0] }
    return FramedHandshakePacket.challengeResponse(
      SealedBox.seal(plain.span.bytes, key: key, nonce: nonce).span.bytes
    ).bytes
  }

  /// Sends response and ping back to back, as clients in the field do, and `data` behind them.
  func answer(followedBy data: [UInt8] = []) throws {
    try socket.send(response() + FramedHandshakePacket.ping.bytes + data)
  }

  /// Answers, and takes the relay's ping.
  func finish(followedBy data: [UInt8] = []) throws -> RawClient {
    try answer(followedBy: data)
    let ping = try socket.receivePacket()
    guard ping == [0] else { throw SocketFailure.ended(.fin, received: ping) }
    return RawClient(returned: socket, id)
  }
}

extension TestRelay {
  /// Comes back as `id`, with `data` right behind the ping.
  func comeBack(_ id: UInt64, followedBy data: [UInt8] = [], receiveBuffer: Int32? = nil) throws -> RawClient {
    try Comeback(connect(receiveBuffer: receiveBuffer), id).finish(followedBy: data)
  }

  /// Whether the session of this id is over: an attempt to come back meets an orderly close instead of a challenge.
  func isOver(_ id: UInt64) throws -> Bool {
    let socket = try connect()
    try Comeback.name(id, socket)
    return try socket.receiveToEnd() == (RawClient.relayKey, .fin)
  }
}

extension Tagged {
  static func reconnection(_ id: UInt64) -> Tagged { Tagged(id: id, flag: 3, data: []) }
}
