import NIOCore
import VoltlaneNIO
import VoltlaneText
import VoltlaneWire

/// One connection of a relay.
public struct Firehose: Hashable, Sendable {
  /// 1 for the first that this backend read, 2 for the second, and so on.
  public let number: Int
  /// nil for a unix socket.
  public let remoteAddress: Endpoint?
}

/// Why a firehose connection ended.
public enum FirehoseEnding: Equatable, Sendable {
  /// The relay closed it.
  case closed
  /// It was reset, or the network failed; the text says how.
  case lost(String)
  /// The relay sent a size above the limit, so that the stream could no longer be trusted. Bytes.
  case oversizedPacket(size: Int, maximum: Int)
  /// A newer connection was there to be read, and this one did not end by itself.
  case replaced
  /// ``Backend/stop()`` was called.
  case stopped
}

/// What a relay tells its backend, in the order in which it said so.
public enum BackendEvent: Equatable, Sendable {
  /// A connection is read from now on. On every connection but its first, a relay begins with
  /// ``reconnection(clientID:)`` for each session that is alive, unless it was told not to (`--announce off`); then
  /// comes ``announced(_:)``.
  case connected(Firehose)
  /// The connection's first packet that is no ``reconnection(clientID:)`` follows: every session that was alive when
  /// the connection began has been named since ``connected(_:)``. Of a session that was not named, no more can be
  /// expected: its ``failure(clientID:reason:)`` still comes, or was lost with the connection before. See
  /// <doc:Table-of-clients>.
  ///
  /// It comes once a connection, on the first one too, and not before that first packet: an announcement of nobody
  /// cannot be seen. Mind that a relay with `--announce off` names nobody.
  case announced(Firehose)
  /// Nothing more comes from this connection. What the relay had sent and nobody had read is lost; the protocol has no
  /// acknowledgement.
  case disconnected(Firehose, FirehoseEnding)
  /// A client's packet; it may have no bytes. It shares memory with its neighbours: to keep a small one for long, copy
  /// it, as with `Array(buffer: packet)`.
  case data(clientID: UInt64, ByteBuffer)
  /// The client's session is over. Nothing more is heard of it, except in an answer to a packet for it (`unknown
  /// client`).
  case failure(clientID: UInt64, reason: String)
  /// The client came back after it had been away, or is announced on a new connection. Both are the same to a backend:
  /// the session continues, and what was sent to the client may have been lost.
  case reconnection(clientID: UInt64)
  /// A tagged packet that was skipped: short, of an unknown flag or of the wrong direction.
  case refusedPacket(TaggedPacketError)

  /// What the event costs in the queue: its data and a fixed part.
  var cost: Int {
    switch self {
    case .data(_, let data): data.readableBytes + Limits.packetOverhead
    case .failure(_, let reason): reason.utf8.count + Limits.packetOverhead
    case .connected, .announced, .disconnected, .reconnection, .refusedPacket: Limits.packetOverhead
    }
  }
}
