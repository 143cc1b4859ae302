import NIOCore
import VoltlaneCrypto
@_exported import VoltlaneNIO
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
/// A client that is no longer referenced closes its connection at once, as ``close()`` does; ``packets`` and their
/// iterators refer to it.
public final class Client: Sendable {
  /// The name that the relay gave to this client: unique for the life of the relay.
  public let clientID: UInt64
  /// Where the relay was reached; nil for a unix socket without a name.
  public let remoteAddress: Endpoint?

  let connection: Connection
  private let maxPacketSize: Int

  private init(_ connection: Connection, maxPacketSize: Int) {
    clientID = connection.identity.clientID
    remoteAddress = Endpoint(connection.channel.remoteAddress)
    self.connection = connection
    self.maxPacketSize = maxPacketSize
  }

  deinit {
    connection.channel.close(promise: nil)
  }

  /// Connects and shakes hands as a new client, with a key made for it.
  ///
  /// Throws ``ClientError/unreachable(_:reason:)``, ``ClientError/timeout(_:)``, ``ClientError/closedDuringHandshake``,
  /// or, where no relay answers there, ``ClientError/malformedHandshake(_:)``,
  /// ``ClientError/unexpectedHandshakePacket(_:)`` or ``ClientError/invalidRelayKey(_:)``.
  public static func connect(
    to endpoint: Endpoint, options: ClientOptions = ClientOptions()
  ) async throws(ClientError) -> Client {
    precondition(Limits.packetSizes.contains(options.maxPacketSize), "no size for packets")
    let key = try makeKey()
    let connection = try await Connection.open(to: endpoint, key: key.publicKey, options: options)
    return Client(connection, maxPacketSize: options.maxPacketSize)
  }

  /// The relay's public key: 33 bytes, SEC1 compressed secp256k1. Nothing signs it: to compare it with the one of an
  /// earlier connection notices a relay that has changed, but not a man in the middle of the first connection.
  public var relayPublicKey: [UInt8] { connection.identity.relayKey.compressed }

  /// What the relay sends, until the connection ends: normally, or with a ``ClientError``, after all that had come.
  ///
  /// While packets of ``ClientOptions/receiveLimit`` or more wait to be taken, the connection is not read, and TCP
  /// slows the relay, which in the end gives up a client that is too slow. (Once the relay has closed its side, what
  /// the kernel had already received is read at once, over the limit: at most the socket's receive buffer.)
  public var packets: Packets { Packets(client: self, inbox: connection.inbox) }

  /// Queues one packet, which may be empty, and returns once it is queued, not once it is sent. Waits while packets of
  /// ``ClientOptions/sendLimit`` wait to be sent. A task's packets keep their order.
  ///
  /// Throws ``ClientError/packetTooLarge(size:maximum:)``, ``ClientError/closed`` or ``ClientError/cancelled``.
  public func send(_ packet: ByteBuffer) async throws(ClientError) {
    let size = packet.readableBytes
    guard size <= maxPacketSize else { throw .packetTooLarge(size: size, maximum: maxPacketSize) }
    do {
      try await connection.outbox.send(
        header: { $0.writeInteger(UInt32(size), endianness: .little) }, data: packet)
    } catch {
      throw ClientError(error)
    }
  }

  /// Queues one packet, as the function above does.
  public func send(_ bytes: some Collection<UInt8>) async throws(ClientError) {
    try await send(ByteBuffer(bytes: bytes))
  }

  /// Says that nothing more will be sent: sends what is queued, then shuts the sending side down (a half close).
  /// Returns once the kernel has it all. ``packets`` go on.
  ///
  /// TCP does not tell a relay whether its client still reads: it delivers what comes within 5 s (its
  /// `half-close-timeout`), and then ends the connection, which ends ``packets`` normally.
  ///
  /// Throws ``ClientError/closed`` where the connection ended before all was sent.
  public func finish() async throws(ClientError) {
    do {
      try await connection.outbox.finish()
    } catch {
      throw ClientError(error)
    }
  }

  /// Closes the connection at once. What is queued to be sent is dropped and, where bytes from the relay are still
  /// unread, so may be what the kernel has yet to send: where that matters, ``finish()`` first and take ``packets``
  /// to their end. Packets that had come can still be taken, then ``packets`` end normally. Closing twice does
  /// nothing more.
  public func close() async {
    connection.inbox.finish()
    connection.outbox.close()
    try? await connection.channel.close()
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
