import NIOCore
import VoltlaneCrypto
import VoltlaneNIO
@_exported import VoltlaneText
import VoltlaneWire

/// A client of a relay: packets of bytes go to the relay's backend, and packets come back, in order.
///
///     let client = try await Client.connect(to: .tcp(host: "127.0.0.1", port: 42000))
///     try await client.send(Array("hello".utf8))
///     for try await packet in client.packets {
///       print(String(buffer: packet))
///     }
///
/// Any number of tasks may send at a time, and any number may take packets. Data is not encrypted.
///
/// **Coming back.** A client stands for a session of the relay, which outlives its connection. When the connection is
/// lost, the client reconnects by itself, proves who it is and continues: ``packets`` with what the relay kept
/// meanwhile, and ``send(_:)-(ByteBuffer)`` with what was waiting. ``states`` reports this, and
/// ``ClientOptions/reconnection`` configures it. The client ends when the relay has said twice that the session is
/// over, when a relay with another key answers, or when it is time to give up. See <doc:Reconnection> for what may be
/// lost.
///
/// A client that is no longer referenced closes its connection at once, as ``close()`` does; ``packets`` and their
/// iterators refer to it, ``states`` do not.
public final class Client: Sendable {
  private let link: Link
  private let maxPacketSize: Int
  /// Kept for the lock that it may hold.
  private let store: (any SessionStore)?
  /// How it came by its session.
  public let origin: SessionOrigin

  private init(_ link: Link, maxPacketSize: Int, origin: SessionOrigin, store: (any SessionStore)?) {
    self.link = link
    self.maxPacketSize = maxPacketSize
    self.origin = origin
    self.store = store
  }

  deinit {
    link.close()
  }

  /// Connects and shakes hands as a new client, with a key made for it. One attempt.
  ///
  /// Throws ``ClientError/unreachable(_:reason:)``, ``ClientError/timeout(_:)``, ``ClientError/closedDuringHandshake``,
  /// ``ClientError/wrongRelayKey(expected:received:)`` or, where no relay answers there,
  /// ``ClientError/malformedHandshake(_:)``, ``ClientError/unexpectedHandshakePacket(_:)`` or
  /// ``ClientError/invalidRelayKey(_:)``.
  public static func connect(
    to endpoint: Endpoint, options: ClientOptions = ClientOptions()
  ) async throws(ClientError) -> Client {
    try await connect(to: endpoint, options: options, pacing: .real)
  }

  static func connect(
    to endpoint: Endpoint, options: ClientOptions, pacing: Pacing, origin: SessionOrigin = .new,
    store: (any SessionStore)? = nil
  ) async throws(ClientError) -> Client {
    precondition(Wire.maxPacketSizes.contains(options.maxPacketSize), "no size for packets")
    let link = try await Link.open(
      to: endpoint, key: try makeKey(), as: nil, relayKey: try options.pinnedKey(), options: options, pacing: pacing)
    return Client(link, maxPacketSize: options.maxPacketSize, origin: origin, store: store)
  }

  /// Comes back as the client of a saved ``session``, as after a restart of the program. The relay is the one of the
  /// session: its key is pinned. One attempt, and one more after a short delay where the relay says that the session is
  /// over.
  ///
  /// Throws ``ClientError/sessionOver`` where the relay has no such session any more, ``ClientError/refused``,
  /// ``ClientError/invalidChallenge``, ``ClientError/invalidSession(_:)``, and what ``connect(to:options:)`` throws.
  public static func resume(
    _ session: ClientSession, to endpoint: Endpoint, options: ClientOptions = ClientOptions()
  ) async throws(ClientError) -> Client {
    try await resume(session, to: endpoint, options: options, pacing: .real)
  }

  static func resume(
    _ session: ClientSession, to endpoint: Endpoint, options: ClientOptions, pacing: Pacing,
    store: (any SessionStore)? = nil
  ) async throws(ClientError) -> Client {
    precondition(Wire.maxPacketSizes.contains(options.maxPacketSize), "no size for packets")
    let (secret, relayKey) = try session.keys()
    if let pinned = try options.pinnedKey(), pinned != relayKey {
      throw .wrongRelayKey(expected: pinned.compressed, received: relayKey.compressed)
    }
    let identity = Identity(clientID: session.clientID, relayKey: relayKey)
    let link = try await Link.open(
      to: endpoint, key: secret, as: identity, relayKey: relayKey, options: options, pacing: pacing)
    return Client(link, maxPacketSize: options.maxPacketSize, origin: .resumed, store: store)
  }

  /// The name that the relay gave to this client: unique for the life of the relay, and kept through reconnections.
  /// People write it in 16 hexadecimal digits, as the relay's log does: `String(clientID:)`.
  public var clientID: UInt64 { link.identity.clientID }

  /// Where the relay was reached the last time; nil for a unix socket without a name.
  public var remoteAddress: Endpoint? { link.remoteAddress }

  /// The relay's public key: 33 bytes, SEC1 compressed secp256k1. Nothing signs it: to compare it with the one of an
  /// earlier connection notices a relay that has changed, but not a man in the middle of the first connection.
  public var relayPublicKey: [UInt8] { link.identity.relayKey.compressed }

  /// What it takes to come back as this client, even from another process: see ``resume(_:to:options:)``. It holds for
  /// the whole session, whatever becomes of this client; the relay keeps a session whose client is away for its
  /// `stale-timeout`. It is **secret**.
  ///
  /// One client at a time: the relay gives the session to the last one that comes, and closes the connection of the one
  /// before, which would come back in its turn.
  public var session: ClientSession {
    ClientSession(clientID: clientID, secretKey: link.key.copyBytes(), relayKey: relayPublicKey)
  }

  /// What is queued and not known to be with the kernel; each packet counts its data and 64 bytes.
  public var unsentByteCount: Int { link.queues.outbox.bytes }

  /// How it stands with the connection.
  public var state: ClientState { link.states.state }

  /// The state as it is, then every change; it ends after ``ClientState/over(_:)``. Each call gives a stream of its
  /// own. A reader that falls 64 changes behind misses the oldest.
  public var states: AsyncStream<ClientState> { link.states.observe() }

  /// What the relay sends, until the session ends: normally, or with a ``ClientError``, after all that had come. See
  /// ``ClientEnding``. A reconnection does not show: what the relay kept meanwhile comes first, in order.
  ///
  /// While packets of ``ClientOptions/receiveLimit`` or more wait to be taken, the connection is not read, and TCP
  /// slows the relay, which in the end gives up a client that is too slow. (Once the relay has closed its side, what
  /// the kernel had already received is read at once, over the limit: at most the socket's receive buffer.)
  public var packets: Packets { Packets(client: self, inbox: link.queues.inbox) }

  /// Queues one packet, which may be empty, and returns once it is queued, not once it is sent. Waits while packets of
  /// ``ClientOptions/sendLimit`` wait to be sent. A task's packets keep their order.
  ///
  /// While the connection is away, packets are queued until the limit is reached, then this waits; they leave once the
  /// relay has taken the client back. A packet may be lost where the connection breaks after it was queued: see
  /// <doc:Reconnection>. It never goes in part, and never twice.
  ///
  /// Throws ``ClientError/packetTooLarge(size:maximum:)``, ``ClientError/closed`` or ``ClientError/cancelled``.
  public nonisolated(nonsending) func send(_ packet: ByteBuffer) async throws(ClientError) {
    let size = packet.readableBytes
    guard size <= maxPacketSize else { throw .packetTooLarge(size: size, maximum: maxPacketSize) }
    do {
      try await link.queues.outbox.send(
        header: { $0.writeInteger(UInt32(size), endianness: .little) }, data: packet)
    } catch {
      throw ClientError(error)
    }
  }

  /// Queues one packet, as the function above does.
  public nonisolated(nonsending) func send(_ bytes: some Collection<UInt8>) async throws(ClientError) {
    try await send(ByteBuffer(bytes: bytes))
  }

  /// Says that nothing more will be sent: sends what is queued, then shuts the sending side down (a half close).
  /// Returns once the kernel has it all; where the connection is away, once the client has come back. ``packets`` go
  /// on.
  ///
  /// TCP does not tell a relay whether its client still reads: it delivers what comes within 5 s (its
  /// `half-close-timeout`), and then ends the connection, which ends ``packets`` normally. A client that has finished
  /// does not reconnect.
  ///
  /// Throws ``ClientError/closed`` where it was over before all was sent, and ``ClientError/cancelled``, which takes
  /// nothing back.
  public nonisolated(nonsending) func finish() async throws(ClientError) {
    do {
      try await link.queues.outbox.finish()
    } catch {
      throw ClientError(error)
    }
  }

  /// Closes the client at once, and ends reconnecting. What is queued to be sent is dropped and, where bytes from the
  /// relay are still unread, so may be what the kernel has yet to send: where that matters, ``finish()`` first and take
  /// ``packets`` to their end. Packets that had come can still be taken, then ``packets`` end normally. Closing twice
  /// does nothing more.
  ///
  /// No packet of the protocol says that a client is leaving for good: the relay keeps the session until its
  /// `stale-timeout`, and ``session`` stays good that long.
  public func close() async {
    _ = try? await link.close().get()
  }

  /// Gives the connection up and makes a new one at once, or makes the next attempt at once where it is away: for an
  /// application that knows that its network has changed, or its machine was asleep. What was sent and not yet
  /// delivered may be lost, as with any connection: see <doc:Reconnection>.
  ///
  /// Does nothing where the client does not reconnect, has finished or is over. ``states`` tell how it goes.
  public func reconnectNow() {
    link.reconnectNow()
  }

  private static func makeKey() throws(ClientError) -> SecretKey {
    do {
      return try SecretKey.generate()
    } catch {
      throw .noKey(error)
    }
  }
}

extension ClientError {
  fileprivate init(_ refusal: OutboxRefusal) {
    switch refusal {
    case .closed: self = .closed
    case .cancelled: self = .cancelled
    }
  }
}

extension ClientOptions {
  fileprivate func pinnedKey() throws(ClientError) -> PublicKey? {
    guard let relayKey else { return nil }
    do {
      return try PublicKey(bytes: relayKey)
    } catch {
      throw .invalidRelayKey(error)
    }
  }
}
