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

  /// Where it comes from, as the backend is to be told.
  var origin: [UInt8] = []
  /// The addresses by which the relay may know it: a proxy's, and the one that it names.
  var addresses: [ClientAddress] = []
  /// The one that may be refused: a load balancer's own connections are not.
  var admittedAs: ClientAddress?
  /// The turn in which it was opened.
  var openedIn = 0

  // The backend's.
  var hasBegun = false
  /// The turn in which the relay began to use it, and since when it asks who is there.
  var begunIn = 0
  var sweep: SweepTruth?
  /// Whose address has to be the next packet.
  var awaitsAddress: SessionTruth?
}

/// How far the list has come with which a connection of the backend's begins.
struct SweepTruth {
  /// The session that was named last, and what has followed about it.
  var last: SessionTruth?
  var hasAddress = false
  var hasAway = false
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
    /// It need not come: it arrived before the relay let its client in, and is lost with the connection; or the client
    /// was away only within a turn.
    var isLoose = false
  }

  /// What the backend has to be told, in order, and how much of that it was told.
  var up: [Item] = []
  var upSeen = 0
  /// How often a 0x03 was taken for one that need not have come, because the session had been announced since: it may
  /// have been a later one.
  var spareReturns = 0
  private var upTurn = -1
  private var upBefore = 0
  /// Once it has ended: how much of `up` has to precede its 0x01.
  var upDue: Int?

  /// What the backend has sent to it, and how far its client has been sent that.
  var down = DownTruth()
  /// Since when something has been due to its client and could have been sent: turns of its shard and of the firehose.
  var dueSince: (shard: Int, firehose: Int)?
  /// How many packets that are answered and kicks were addressed to it, and how many answers said that there is no such
  /// client.
  var addressed = 0
  var answers = 0
  var kickRead = false
  /// When it last got a connection, and in which turn.
  var attachedAt: UInt64 = 0
  var attachedIn = 0

  var endedInside: (turn: Int, time: UInt64)?
  /// The reason in its 0x01.
  var reason: String?
  /// The backend's connection on which it was last announced, and how much of `up` there was by then: what the relay
  /// itself says of it in there may have been taken for a part of the announcement.
  var announcedOn = 0
  var announcedUpTo = 0
  /// Its client is away, since the turn; and the last turn in which it was.
  var isAway = false
  var awaySince = 0
  var lastAway = -1
  /// Where its client has been, newest last.
  var origins: [[UInt8]] = []
  var keys: [AddressKey] = []
  /// The operator has asked for its end: by a kick, or since when by letting it go while the relay accepts clients.
  var operatorKicked = false
  var letGo: UInt64?
  /// It was to be let go at some time, even if it then was not.
  var wasLetGo = false
  var tooLargeSeen = false
  /// What its client had been sent when it got a FIN; and how much there was when the operator let it go.
  var sentAtFin: Int?
  var downAtLetGo = Int.max
  /// When it ended: whether a packet of its client was unfinished, and how many bytes waited for it.
  var unfinishedSince = UInt64.max
  var waitingAtEnd = 0
  /// How many of these were in volatile packets, of which the relay keeps few.
  var volatileAtEnd = 0
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

  /// Whether the backend need not be told something, so that what follows may come next.
  func mayMiss(_ place: Int) -> Bool {
    up[place].isLoose || up[place].packet.isOfRelay && place < announcedUpTo
  }

  /// What the backend has yet to be told.
  var unseen: [Item] { due(before: up.count).map { up[$0] } }

  /// The same of what is before a place.
  func due(before end: Int) -> [Int] {
    var spare = spareReturns
    var isSpared = false
    return (upSeen..<max(upSeen, end)).filter { place in
      let packet = up[place].packet
      if mayMiss(place) || isSpared && packet.isAddress { return false }
      isSpared = packet == .reconnection && spare > 0
      if isSpared { spare -= 1 }
      return !isSpared
    }
  }

  /// It ended in this turn: whatever came in the same turn may have come before or after.
  func end(turn: Int, time: UInt64) {
    unfinishedSince = link.truth.partialSince
    unacknowledgedAtEnd = link.unacknowledged
    isAway = false
    waitingAtEnd = down.waiting
    volatileAtEnd = down.waitingVolatile
    endedInside = (turn, time)
    upDue = upTurn == turn ? upBefore : up.count
  }
}
#endif
