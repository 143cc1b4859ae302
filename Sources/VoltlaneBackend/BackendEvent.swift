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
  /// The relay sent a size above the limit, so the stream could no longer be trusted. In bytes.
  case oversizedPacket(size: Int, maximum: Int)
  /// A newer connection was waiting to be read, and this one did not end by itself.
  case replaced
  /// ``Backend/stop()`` was called.
  case stopped
}

/// Something that should not happen: worth a line in a log.
public enum BackendWarning: Equatable, Sendable {
  /// Something connected that is not a relay: its first bytes are not a tagged packet, for the reason given. It was
  /// closed, and nothing changed. `from` is nil for a unix socket.
  case strayConnection(from: Endpoint?, reason: String)
  /// A connection was given up for a newer one although it was still open: its relay lost its network, or two relays
  /// use this backend.
  case replaced(Firehose, by: Endpoint?)
  /// A second relay is waiting for its turn. It waits for as long as the first one's connection lives and brings
  /// something, because a backend serves one relay.
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

/// What a relay tells its backend, in order.
public enum BackendEvent: Equatable, Sendable {
  /// A connection is read from now on. On every connection but its first, a relay begins with
  /// ``reconnection(clientID:)`` for each session that is alive, unless it was told not to (`--announce off`); then
  /// comes ``announced(_:)``.
  case connected(Firehose)
  /// The connection's first packet other than a ``reconnection(clientID:)`` follows: every session that was alive when
  /// the connection began has been named since ``connected(_:)``. Nothing more can be expected of a session that was
  /// not named: its ``failure(clientID:reason:)`` is still to come, or was lost with the connection before. See
  /// <doc:Table-of-clients>.
  ///
  /// It comes once per connection, also on the first one, and not before that packet: an announcement that names nobody
  /// cannot be recognised earlier. Note that a relay with `--announce off` names nobody.
  case announced(Firehose)
  /// Nothing more comes from this connection. Whatever the relay had sent and nobody had read is lost; the protocol has
  /// no acknowledgements.
  case disconnected(Firehose, FirehoseEnding)
  /// A client's packet, which may be empty. It shares memory with its neighbours: to keep a small one for long, copy
  /// it, for example with `Array(buffer: packet)`.
  case data(clientID: UInt64, ByteBuffer)
  /// The client's session is over. Nothing more is heard of it, and there is one failure per client, however many
  /// packets were on their way to it, each of which the relay answers (`unknown client`). (The ids of the latest 65,536
  /// that ended are remembered for this.)
  case failure(clientID: UInt64, reason: String)
  /// The client came back after it had been away, or is announced on a new connection. To a backend both mean the same:
  /// the session continues, and what was sent to the client may have been lost.
  case reconnection(clientID: UInt64)
  /// The client has lost its connection, and its session waits for it: packets to it are kept, within the relay's
  /// `missed-packets-buffer`. ``reconnection(clientID:)`` says that it is back, ``failure(clientID:reason:)`` that it
  /// will not come back. Only a relay with `--away on` reports this.
  case away(clientID: UInt64)
  /// Where the client connects from, as a numeric host and a port; nil if the relay cannot know, as with a unix socket.
  /// It is the first event of a session, and comes again after each ``reconnection(clientID:)``. Only a relay with
  /// `--addresses on` reports this.
  case address(clientID: UInt64, Endpoint?)
  /// Something is wrong with the connections; it does not concern the clients.
  case warning(BackendWarning)
  /// A tagged packet was skipped: it is too short, has an unknown flag or one of the wrong direction, or is an address
  /// that is not valid.
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
