#if TESTABLE
import VoltlaneWire
@testable import Relay

/// What the checker knows about one connection, from the bytes that crossed the relay's calls.
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
  /// When the unfinished packet began to arrive.
  var partialSince = UInt64.max
  /// Data that arrived before the relay let the client in.
  var early: [Fingerprint] = []

  var outgoing = PacketCutter()
  /// What the relay has sent since the end of the last turn.
  var sentNow: [SentPacket] = []
  var isTouched = false
  var packetsOut = 0
  var session: SessionTruth?
  /// The session was resumed on another connection.
  var isSuperseded = false
  /// What was sent after the client's FIN: which packet it was, where it ended, and whether the relay knew of the FIN
  /// when it asked for the send.
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

/// What the checker knows about one session.
final class SessionTruth {
  let id: UInt64
  let owner: ObjectIdentifier
  let ownerName: String
  let shard: Int
  var link: Link
  let bornAt: UInt64

  struct Item {
    var packet: Fingerprint
    /// It arrived before the relay let its client in, and is lost with the connection.
    var isLoose = false
  }

  /// What the backend has to be told, in order, and how much of that it was told.
  var up: [Item] = []
  var upSeen = 0
  private var upTurn = -1
  private var upBefore = 0
  /// Once it has ended: how much of `up` has to precede its 0x01.
  var upDue: Int?

  /// What the backend has sent to it, in order, and what the client may be sent next: one place, or several that cannot
  /// be told apart.
  var down: [Fingerprint] = []
  var downBytes = 0
  var next: [Int] = [0]
  /// Since when something has been due to its client and could have been sent: turns of its shard and of the firehose.
  var dueSince: (shard: Int, firehose: Int)?
  /// How many packets and kicks were addressed to it, and how many answers said that there is no such client.
  var addressed = 0
  var answers = 0
  var kickRead = false
  /// When it last got a connection.
  var attachedAt: UInt64 = 0

  var endedInside: (turn: Int, time: UInt64)?
  /// The reason in its 0x01.
  var reason: String?
  /// The backend's connection on which it was last announced.
  var announcedOn = 0
  var tooLargeSeen = false
  /// When it ended: whether a packet of its client was unfinished, and how many bytes waited for it.
  var unfinishedSince = UInt64.max
  var waitingAtEnd = 0
  var unacknowledgedAtEnd = 0
  /// How many sessions may have been stale in that turn, including this one.
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

  /// It ended in this turn: whatever came in the same turn may have come before or after.
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
