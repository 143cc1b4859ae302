import NIOCore
import VoltlaneCrypto
import VoltlaneNIO
@_exported import VoltlaneText
import VoltlaneWire

/// A client of a relay: it sends packets of bytes to the relay's backend, and receives packets, in order.
///
///     let client = try await Client.connect(to: .tcp(host: "127.0.0.1", port: 42000))
///     try await client.send(Array("hello".utf8))
///     for try await packet in client.packets {
///       print(String(buffer: packet))
///     }
///
/// Any number of tasks may send at the same time, and any number may take packets. Data is not encrypted.
///
/// **Coming back.** A client represents a session of the relay, which outlives its connection. When the connection is
/// lost, the client reconnects by itself, proves who it is and continues: ``packets`` continue with what the relay kept
/// meanwhile, and packets that were waiting in ``send(_:)-(ByteBuffer)`` are sent. ``states`` reports this, and
/// ``ClientOptions/reconnection`` configures it. The client ends when the relay has said twice that the session is
/// over, when a relay with another key answers, or when it is time to give up. See <doc:Reconnection> for what may be
/// lost.
///
/// A client that is no longer referenced closes its connection at once, as ``close()`` does; ``packets`` and their
/// iterators refer to it, ``states`` do not.
public final class Client: Sendable {
  private let link: Link
  private let maxPacketSize: Int
  /// Kept because it may hold a lock.
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

  /// Connects and shakes hands as a new client, with a new key. It makes one attempt.
  ///
  /// Throws ``ClientError/unreachable(_:reason:)``, ``ClientError/timeout(_:)``, ``ClientError/closedDuringHandshake``,
  /// ``ClientError/wrongRelayKey(expected:received:)`` or, if something other than a relay answers there,
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

  /// Comes back as the client of a saved ``session``, for example after a restart of the program. It has to be the
  /// session's relay: its key is pinned. It makes one attempt, and one more after a short delay if the relay says that
  /// the session is over.
  ///
  /// Throws ``ClientError/sessionOver`` if the relay no longer has such a session, ``ClientError/refused``,
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

  /// Where the relay was last reached; nil for a unix socket without a name.
  public var remoteAddress: Endpoint? { link.remoteAddress }

  /// The relay's public key: 33 bytes, SEC1 compressed secp256k1. Nothing signs it: comparing it with the key of an
  /// earlier connection reveals that the relay has changed, but not that somebody is in the middle of the first
  /// connection.
  public var relayPublicKey: [UInt8] { link.identity.relayKey.compressed }

  /// What it takes to come back as this client, even from another process: see ``resume(_:to:options:)``. It is valid
  /// for the whole session, whatever happens to this client; the relay keeps a session whose client is away for its
  /// `stale-timeout`. It is **secret**.
  ///
  /// Use it for one client at a time: the relay gives the session to whoever came last, and closes the previous
  /// client's connection, which would then come back itself.
  public var session: ClientSession {
    ClientSession(clientID: clientID, secretKey: link.key.copyBytes(), relayKey: relayPublicKey)
  }

  /// How much is queued and not known to have reached the kernel, in bytes; each packet counts its data and 64 bytes.
  public var unsentByteCount: Int { link.queues.outbox.bytes }

  /// The state of the connection.
  public var state: ClientState { link.states.state }

  /// The current state, then every change; it ends after ``ClientState/over(_:)``. Each call returns a new stream. A
  /// reader that falls 64 changes behind misses the oldest.
  public var states: AsyncStream<ClientState> { link.states.observe() }

  /// What the relay sends, until the session ends. Everything that had arrived comes first, then the end, or a
  /// ``ClientError``. See ``ClientEnding``. A reconnection is not visible here: what the relay kept meanwhile comes
  /// first, in order.
  ///
  /// While packets of ``ClientOptions/receiveLimit`` or more are waiting to be taken, the connection is not read, and
  /// TCP slows the relay, which eventually gives up a client that is too slow. (Once the relay has closed its side,
  /// what the kernel had already received is read at once, over the limit: at most the socket's receive buffer.)
  public var packets: Packets { Packets(client: self, inbox: link.queues.inbox) }

  /// Queues one packet, which may be empty, and returns once it is queued, not once it is sent. Waits while packets of
  /// ``ClientOptions/sendLimit`` are waiting to be sent. A task's packets stay in order.
  ///
  /// While there is no connection, packets are queued until the limit is reached; after that this waits. They are sent
  /// once the relay has taken the client back. A packet may be lost if the connection breaks after it was queued: see
  /// <doc:Reconnection>. It is never delivered in part, and never twice.
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

  /// Announces that nothing more will be sent: sends what is queued, then shuts the sending side down (a half close).
  /// Returns once the kernel has all of it; if there is no connection, once the client has come back. ``packets``
  /// continue.
  ///
  /// TCP does not tell a relay whether its client still reads, so the relay delivers what comes within 5 s (its
  /// `half-close-timeout`) and then ends the connection, which ends ``packets`` normally. A client that has finished
  /// does not reconnect.
  ///
  /// Throws ``ClientError/closed`` if the client was over before everything was sent, and ``ClientError/cancelled``,
  /// which undoes nothing.
  public nonisolated(nonsending) func finish() async throws(ClientError) {
    do {
      try await link.queues.outbox.finish()
    } catch {
      throw ClientError(error)
    }
  }

  /// Closes the client at once, and stops reconnecting. Packets that are queued to be sent are dropped. If bytes from
  /// the relay are still unread, whatever the kernel has yet to send may be dropped too: if that matters, call
  /// ``finish()`` first and take ``packets`` to their end. Packets that have arrived can still be taken; then
  /// ``packets`` end normally. Closing again does nothing.
  ///
  /// The protocol has no packet for a client that leaves for good: the relay keeps the session until its
  /// `stale-timeout`, and ``session`` stays valid that long.
  public func close() async {
    _ = try? await link.close().get()
  }

  /// Gives up the connection and makes a new one at once, or makes the next attempt at once if there is none. For an
  /// application that knows that its network has changed, or that its machine was asleep. Whatever was sent and not yet
  /// delivered may be lost, as with any lost connection: see <doc:Reconnection>.
  ///
  /// Does nothing if the client does not reconnect, has finished or is over. ``states`` report what happens.
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
