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

/// What should not be: worth a line in a log.
public enum BackendWarning: Equatable, Sendable {
  /// Something connected that is no relay: its first bytes are no tagged packet, for the reason given. It was closed,
  /// and changed nothing. `from` is nil for a unix socket.
  case strayConnection(from: Endpoint?, reason: String)
  /// A connection was given up for a newer one although it was still open: its relay lost its network, or two relays
  /// have this backend.
  case replaced(Firehose, by: Endpoint?)
  /// A second relay waits for its turn, for as long as the connection of the first one lives and brings something: a
  /// backend serves one relay.
  case secondRelay(from: Endpoint?)
}

extension BackendWarning: CustomStringConvertible {
  public var description: String {
    func place(_ endpoint: Endpoint?) -> String { endpoint.map { "\($0)" } ?? "a unix socket" }
    return switch self {
    case .strayConnection(let from, let reason): "closed a connection from \(place(from)) that is no relay's: \(reason)"
    case .replaced(let firehose, let newer):
      """
      gave up connection \(firehose.number) from \(place(firehose.remoteAddress)), which was still open, for one from \
      \(place(newer))
      """
    case .secondRelay(let from): "a second relay, \(place(from)), waits until the connection of the first one ends"
    }
  }
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
  /// client`): one failure a client, however many packets were on their way to it. (The ids of the latest 65,536 that
  /// ended are remembered for this.)
  case failure(clientID: UInt64, reason: String)
  /// The client came back after it had been away, or is announced on a new connection. Both are the same to a backend:
  /// the session continues, and what was sent to the client may have been lost.
  case reconnection(clientID: UInt64)
  /// The client has lost its connection, and its session waits for it: packets to it are kept, within the relay's
  /// `missed-packets-buffer`. ``reconnection(clientID:)`` says that it is back, ``failure(clientID:reason:)`` that it
  /// is not coming. Told only by a relay with `--away on`.
  case away(clientID: UInt64)
  /// Where the client connects from, as a numeric host and a port; nil where the relay cannot know, as of a unix
  /// socket. The first that is heard of a session, and again after each ``reconnection(clientID:)``. Told only by a
  /// relay with `--addresses on`.
  case address(clientID: UInt64, Endpoint?)
  /// Something that is not right with the connections, and that does not concern the clients.
  case warning(BackendWarning)
  /// A tagged packet that was skipped: short, of an unknown flag, of the wrong direction, or an address that is none.
  case refusedPacket(TaggedPacketError)

  /// What the event costs in the queue: its data and a fixed part.
  var cost: Int {
    switch self {
    case .data(_, let data): data.readableBytes + Limits.packetOverhead
    case .failure(_, let reason): reason.utf8.count + Limits.packetOverhead
    case .connected, .announced, .disconnected, .away, .address, .warning, .reconnection, .refusedPacket:
      Limits.packetOverhead
    }
  }
}
