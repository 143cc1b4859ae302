#if TESTABLE
import VoltlaneWire
@testable import Relay

/// What the checker knows of one connection, from the bytes that crossed the relay's calls.
struct LinkTruth {
  enum Role {
    case unknown
    case newcomer
    case returner(UInt64)
    case backend
  }
  var role = Role.unknown
  /// Bytes of a PROXY header that come before anything else.
  var headerBytes = 0

  var incoming = PacketCutter()
  var packetsIn = 0
  var bytesIn = 0
  /// When the packet that has come in part began to come.
  var partialSince = UInt64.max
  /// Data that came before the relay took the client in.
  var early: [Fingerprint] = []

  var outgoing = PacketCutter()
  /// What the relay has sent since the last turn's end.
  var sentNow: [SentPacket] = []
  var isTouched = false
  var packetsOut = 0
  var session: SessionTruth?
  /// The session has gone on to another connection.
  var isSuperseded = false
  /// Of what was sent after the client's FIN: which packet it was, where it ended, and whether the relay knew of the
  /// FIN when it asked for the send.
  var sentAfterFin: [(index: Int, end: Int, isKept: Bool)] = []

  // The backend's.
  var hasBegun = false
  var isSweeping = false
}

/// A packet that the relay has sent, as it was at the call: the turn's end may know more.
struct SentPacket {
  let packet: Fingerprint
  let first: UInt8?
  /// Where it ended in the stream.
  let end: Int
  let knowsFin: Bool
}

/// What the checker knows of one session.
final class SessionTruth {
  let id: UInt64
  let owner: ObjectIdentifier
  let ownerName: String
  let shard: Int
  var link: Link
  let bornAt: UInt64

  struct Item {
    var packet: Fingerprint
    /// It came before the relay took its client in: it is lost with the connection.
    var isLoose = false
  }

  /// What the backend has to be told, in order, and how much of it was.
  var up: [Item] = []
  var upSeen = 0
  private var upTurn = -1
  private var upBefore = 0
  /// Once it has ended: how much of `up` has to come before its 0x01.
  var upDue: Int?

  /// What the backend has sent to it, in order, and what may be the next that the client is sent: one place, or several
  /// that cannot be told apart.
  var down: [Fingerprint] = []
  var downBytes = 0
  var next: [Int] = [0]
  /// Since when something is due to its client and could be sent: turns of its shard and of the firehose.
  var dueSince: (shard: Int, firehose: Int)?
  /// Packets and kicks that were for it, and answers that there is no such client.
  var addressed = 0
  var answers = 0
  var kickRead = false
  /// When it has last got a connection.
  var attachedAt: UInt64 = 0

  var endedInside: (turn: Int, time: UInt64)?
  /// The reason in its 0x01.
  var reason: String?
  /// The connection to the backend that has last announced it.
  var announcedOn = 0
  var tooLargeSeen = false
  /// When it ended: whether a packet of its client was unfinished, and how many bytes waited for it.
  var unfinishedSince = UInt64.max
  var waitingAtEnd = 0
  var unacknowledgedAtEnd = 0
  /// How many sessions may have been stale in that turn, with itself.
  var staleAtEnd = 0
  /// Since when something has waited for its client without a break.
  var waitsSince = UInt64.max

  init(id: UInt64, link: Link, shard: Int, now: UInt64) {
    self.id = id
    self.link = link
    self.shard = shard
    owner = ObjectIdentifier(link.peer)
    ownerName = link.peer.name
    bornAt = now
  }

  func append(_ packet: Fingerprint, isLoose: Bool = false, turn: Int) {
    guard endedInside == nil else { return }
    if upTurn != turn {
      upTurn = turn
      upBefore = up.count
    }
    up.append(Item(packet: packet, isLoose: isLoose))
  }

  /// It has ended in this turn: what came in the same turn may have come before or after.
  func end(turn: Int, time: UInt64) {
    unfinishedSince = link.truth.partialSince
    unacknowledgedAtEnd = link.unacknowledged
    let first = next.first ?? 0
    waitingAtEnd = down[min(first, down.count)...].reduce(0) { $0 + $1.size + Wire.sizePrefix }
    endedInside = (turn, time)
    upDue = upTurn == turn ? upBefore : up.count
  }
}
#endif
