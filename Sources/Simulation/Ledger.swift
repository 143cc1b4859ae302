#if TESTABLE
import Glibc
import VoltlaneWire
@testable import Relay

/// The checker. It sees what crosses the relay's calls, on each connection in each direction, and at the end of each
/// turn what became of it:
///
/// - the backend gets every whole packet that the relay has read from a client, in order, once, whatever happens to the
///   connections on either side; then one 0x01;
/// - a client gets every whole packet that the relay has read for it from the backend, in order, once, over any number
///   of connections, until its session has ended;
/// - a session belongs to its owner, and an id is never used again;
/// - what the relay counts as memory is what it holds.
///
/// If two outcomes are right, it accepts either. Each rule is a method of its own that ends in ``World/fail(_:)``.
final class Ledger {
  unowned let world: World
  var sessions: [UInt64: SessionTruth] = [:]
  /// The same, in the order in which they began, so that iterating has an order.
  var all: [SessionTruth] = []
  var live: [SessionTruth] = []
  private var touched: [Link] = []
  /// Ids that the relay has tried to send in this turn.
  private var offered: [(id: UInt64, link: Link)] = []
  /// Sessions that the relay has tried to resume in this turn.
  private var resumed: [(id: UInt64, link: Link)] = []
  /// What the backend was sent in this turn.
  private var sentUp: [UpPacket] = []
  var strangers: [UInt64: (addressed: Int, answers: Int)] = [:]
  /// Sessions that lost their connection in the turn in which they began, before their client was sent an id; and
  /// whether they have ended.
  var unnamed: [UInt64: Bool] = [:]
  private(set) var started: [UInt64]
  private var returned: [UInt64]
  private var ended: [UInt64]
  private var goneStale: [UInt64]
  private var refused: UInt64 = 0
  /// Connections that the relay has counted as the backend's, and whether the last of them begins with a sweep.
  private var connections: UInt64 = 0
  private(set) var beginsWithSweep = false
  /// The turn in which the last of them began.
  private(set) var connectedIn = 0
  /// How many packets were given up because two connections died within them.
  var mayMiss = 0
  var reasons: [String: Int] = [:]
  /// From where the operator has kicked everybody at some time.
  var kickedRanges: [AddressRange] = []
  /// The most sessions that may have been stale within this turn: some have ended in it, or were resumed.
  private var mostStale = 0
  /// The most memory that the relay has had from the allocator, and the longest that an honest client waited to be
  /// read.
  var mostHeld = 0
  var mostWaited = 0
  /// The longest that one waited to be sent what the relay had read for it.
  var mostDue = 0

  /// Whether some settings, and whether all settings have the backend told of clients that are away.
  let mayTellAway: Bool
  let tellsAway: Bool
  /// The smallest quarter of the buffer in which volatile packets may wait.
  let volatileRoom: Int
  /// The largest: where that much waits, they are dropped.
  let volatileMost: Int

  init(_ world: World) {
    self.world = world
    let settings = world.plan.reloads + [world.plan.configuration]
    mayTellAway = settings.contains(where: \.tellsAway)
    tellsAway = settings.allSatisfy(\.tellsAway)
    volatileRoom = settings.map { $0.clientSendBuffer / 4 }.min() ?? 0
    volatileMost = settings.map { ($0.clientSendBuffer + 3) / 4 }.max() ?? 0
    let hosts = world.configuration.shards
    started = Array(repeating: 0, count: hosts)
    returned = started
    ended = started
    goneStale = started
  }

  // MARK: What the relay reads

  func relayReceived(_ link: Link, _ bytes: UnsafeRawBufferPointer) {
    if link.truth.session?.endedInside == nil { link.lastRead = world.now }
    if case .backend = link.truth.role { return backendWasRead(link, bytes) }
    var bytes = bytes
    if link.truth.headerBytes > 0 {
      let skipped = min(link.truth.headerBytes, bytes.count)
      link.truth.headerBytes -= skipped
      bytes = UnsafeRawBufferPointer(rebasing: bytes[skipped...])
    }
    // What a connection sends after it has stopped being a client's does not count.
    guard !link.truth.isSuperseded else { return }
    let turn = world.turns
    var cutter = link.truth.incoming
    link.truth.incoming = PacketCutter()
    link.truth.bytesIn += bytes.count
    let packetsBefore = link.truth.packetsIn
    cutter.cut(bytes) { packet in
      let number = link.truth.packetsIn
      link.truth.packetsIn += 1
      if let session = link.truth.session { return session.append(Fingerprint(packet), turn: turn) }
      if number == 1 { link.truth.role = Ledger.role(packet) }
      switch link.truth.role {
      case .newcomer where number >= 2: link.truth.early.append(Fingerprint(packet))
      case .returner where number >= 4: link.truth.early.append(Fingerprint(packet))
      default: break
      }
    }
    if cutter.isBroken { link.truth.session?.tooLargeSeen = true }
    if cutter.partial == 0 {
      link.truth.partialSince = .max
    } else if link.truth.partialSince == .max || link.truth.packetsIn != packetsBefore {
      link.truth.partialSince = world.now
    }
    link.truth.incoming = cutter
  }

  private static func role(_ packet: UnsafeRawBufferPointer) -> LinkTruth.Role {
    switch try? HandshakePacket.decode(packet.bytes) {
    case .publicKey: .newcomer
    case .clientID(let id): .returner(id)
    default: .unknown
    }
  }

  private func backendWasRead(_ link: Link, _ bytes: UnsafeRawBufferPointer) {
    var cutter = link.truth.incoming
    link.truth.incoming = PacketCutter()
    cutter.cut(bytes) { packet in
      guard packet.count >= Wire.tag else { return }
      let id = UInt64(littleEndian: packet.loadUnaligned(as: UInt64.self))
      let data = UnsafeRawBufferPointer(rebasing: packet[Wire.tag...])
      switch packet[Wire.clientID] {
      case PacketFlag.data.rawValue: backendSent(Fingerprint(data), to: id)
      case PacketFlag.kick.rawValue: backendKicked(id)
      case ExtensionFlag.volatile.rawValue: backendSent(Fingerprint(data), to: id, isVolatile: true)
      case ExtensionFlag.multicast.rawValue: backendSentMulticast(data)
      default: break
      }
    }
    link.truth.incoming = cutter
  }

  func relayReadFin(_ link: Link) {}

  // MARK: What the relay sends

  func relayTriesToSend(_ link: Link, _ bytes: UnsafeRawBufferPointer, result: Int) {
    if link.truth.isSuperseded { world.fail("\(link.name) is sent something after its session has gone on") }
    // Only where a packet begins: what follows a part of one may look like anything.
    guard link.truth.session == nil, link.truth.outgoing.partial == 0, bytes.count > Wire.sizePrefix else { return }
    let packet = UnsafeRawBufferPointer(rebasing: bytes[Wire.sizePrefix...])
    switch (link.truth.role, try? HandshakePacket.decode(packet.bytes)) {
    case (.newcomer, .clientID(let id)?): offered.append((id, link))
    // The session is resumed, unless the socket turns out to be gone; after a FIN that is found out later.
    case (.returner(let id), .ping?) where bytes.count == FramedHandshakePacket.ping.byteCount:
      let goesOn = result >= 0 || [EAGAIN, EINTR, ENOBUFS, ENOMEM, EPIPE].contains(Int32(-result))
      if goesOn { resumed.append((id, link)) }
    default: break
    }
  }

  func relaySent(_ link: Link, _ bytes: UnsafeRawBufferPointer, knowsFin: Bool) {
    var end = link.sent - bytes.count - link.truth.outgoing.partial
    let isBackend = if case .backend = link.truth.role { true } else { false }
    var cutter = link.truth.outgoing
    link.truth.outgoing = PacketCutter()
    cutter.cut(bytes) { packet in
      end += Wire.sizePrefix + packet.count
      if isBackend {
        noteUp(link, packet)
      } else {
        link.truth.sentNow.append(
          SentPacket(packet: Fingerprint(packet), first: packet.first, end: end, knowsFin: knowsFin))
      }
    }
    link.truth.outgoing = cutter
    if !isBackend, !link.truth.sentNow.isEmpty, !link.truth.isTouched {
      link.truth.isTouched = true
      touched.append(link)
    }
  }

  private func noteUp(_ link: Link, _ packet: UnsafeRawBufferPointer) {
    guard let up = UpPacket(link, packet) else {
      return world.fail("the backend is sent a packet of \(packet.count) bytes without a tag that makes sense")
    }
    sentUp.append(up)
  }

  func relayFinished(_ link: Link) {
    guard let session = link.truth.session else { return }
    if link.truth.outgoing.partial > 0 { world.fail("\(link.name) gets a FIN within a packet (\(session.ownerName))") }
    settle(link)
    session.sentAtFin = isServed(session) ? .max : session.down.next.last ?? 0
    checkFlushed(session)
  }

  func relayClosed(_ link: Link) { link.closedAt = world.now }

  // MARK: The backend's connections

  func backendConnected(_ link: Link) {
    link.truth.role = .backend
    link.truth.incoming.largest = world.plan.configuration.maxPacketSize + Wire.tag
    link.truth.incoming.multicastOverhead = Multicast.mostOverhead
  }

  // MARK: Turns

  func turnBegins(_ host: Int) {}

  func turnEnds(_ host: Int) {
    for shard in 0..<world.configuration.shards { turnEnds(ofShard: shard) }
    if world[.packetsRefused] != refused {
      mayMiss += Int(world[.packetsRefused] - refused)
      refused = world[.packetsRefused]
    }
    if !touched.isEmpty {
      for link in touched { checkDown(link) }
      touched.removeAll(keepingCapacity: true)
    }
    if world[.backendConnections] != connections {
      connections = world[.backendConnections]
      connectedIn = world.turns
      beginsWithSweep = connections > 1 && world.announces
    }
    if !sentUp.isEmpty {
      for packet in sentUp { checkUp(packet) }
      sentUp.removeAll(keepingCapacity: true)
    }
    noteHandledPackets()
    if world.plan.isFair { checkFairnessDown() }
    if world.turns % world.plan.memoryCheckEvery == 0 { checkMemory() }
  }

  private func turnEnds(ofShard shard: Int) {
    let counters = world.parts.counters[shard]
    mostStale =
      world.parts.staleTotals.count + Int(counters[.sessionsEnded] - ended[shard])
      + Int(counters[.reconnections] - returned[shard])
    if counters[.sessionsStarted] != started[shard] || counters[.reconnections] != returned[shard] {
      started[shard] = counters[.sessionsStarted]
      returned[shard] = counters[.reconnections]
      attachments(shard)
      // Some have ended, or lost their connection, in the turn in which they began.
      for (id, link) in offered where sessions[id] == nil { begin(id, link) }
      for (id, link) in resumed where link.truth.session == nil && !link.truth.isSuperseded {
        if let session = sessions[id], session.endedInside == nil { goOn(session, link) }
      }
      offered.removeAll()
      resumed.removeAll()
    }
    if counters[.sessionsGoneStale] != goneStale[shard] {
      goneStale[shard] = counters[.sessionsGoneStale]
      for session in live where session.shard == shard && !session.isAway && world.isStale(session.id, shard) {
        session.isAway = true
        session.awaySince = world.turns
        noteAway(session, isCertain: true)
      }
    }
    if counters[.sessionsEnded] != ended[shard] {
      ended[shard] = counters[.sessionsEnded]
      endings(shard)
    }
  }

  /// Sessions have begun, or gone on with another connection.
  private func attachments(_ shard: Int) {
    world.eachAttached(shard) { descriptor, id in
      guard let link = world.link(descriptor), link.truth.session?.id != id else { return }
      if let session = sessions[id] { goOn(session, link) } else { begin(id, link) }
    }
  }

  private func begin(_ id: UInt64, _ link: Link) {
    guard case .newcomer = link.truth.role else {
      return world.fail("\(link.name) has a new session, and did not ask for one")
    }
    if strangers[id] != nil { world.note("  \(id) was addressed before it was given out") }
    let session = SessionTruth(id: id, link: link, shard: world.parts.ids.place(of: id).shard, now: world.now)
    sessions[id] = session
    all.append(session)
    live.append(session)
    world.note("  \(link.name) is \(String(id, radix: 16))")
    noteAddress(session, link)
    attach(session, link)
  }

  private func goOn(_ session: SessionTruth, _ link: Link) {
    guard session.endedInside == nil else {
      return world.fail("\(link.name) goes on with session \(session.id), which has ended; or the id came again")
    }
    guard case .returner(session.id) = link.truth.role else {
      return world.fail("\(link.name) is given session \(session.id), for which it did not ask")
    }
    guard ObjectIdentifier(link.peer) == session.owner else {
      return world.fail("\(link.name) is let in as \(session.ownerName)")
    }
    let old = session.link
    settle(old)
    old.truth.isSuperseded = true
    old.truth.session = nil
    repeatUnacknowledged(session, old)
    session.link = link
    if session.isAway { session.lastAway = world.turns } else { noteAway(session, isCertain: false) }
    session.isAway = false
    session.down.loseVolatile()
    session.append(.reconnection, turn: world.turns)
    noteAddress(session, link)
    world.note("  \(link.name) is back as \(String(session.id, radix: 16))")
    attach(session, link)
  }

  private func attach(_ session: SessionTruth, _ link: Link) {
    if let ban = world.controller.bans.first(where: { $0.keepsOut(link) }) {
      world.fail("\(link.name) is let in, and \(ban.network) is banned")
    }
    link.truth.session = session
    session.attachedAt = world.now
    session.attachedIn = world.turns
    link.truth.incoming.largest = world.plan.configuration.maxPacketSize
    for packet in link.truth.early {
      guard packet.size <= world.plan.configuration.maxPacketSize else {
        session.tooLargeSeen = true
        break
      }
      session.append(packet, isLoose: true, turn: world.turns)
    }
    link.truth.early = []
  }

  /// After the client's FIN, packets are kept until they are acknowledged. Those that were not acknowledged may come
  /// again, and those that were sent after the relay had read the FIN have to.
  private func repeatUnacknowledged(_ session: SessionTruth, _ old: Link) {
    let acknowledged = old.isLocal ? old.acknowledgedSeen : old.acknowledged
    guard let first = old.truth.sentAfterFin.first(where: { $0.end > acknowledged }) else { return }
    let due = old.truth.sentAfterFin.first {
      $0.end > acknowledged && $0.isKept && !session.down.isVolatile($0.index)
    }
    session.down.goBack(to: first.index, due: due?.index ?? .max)
  }

  private func endings(_ shard: Int) {
    live.removeAll { session in
      guard session.shard == shard, !world.isLive(session.id, shard) else { return false }
      if session.isAway { session.lastAway = world.turns } else { noteAway(session, isCertain: false) }
      session.end(turn: world.turns, time: world.now)
      session.staleAtEnd = mostStale
      world.note("  \(String(session.id, radix: 16)) (\(session.ownerName)) has ended")
      return true
    }
  }

  /// What was sent as the hosts went to sleep counts as well.
  func settleTouched() {
    for link in touched { settle(link) }
    touched.removeAll(keepingCapacity: true)
  }

  private func settle(_ link: Link) {
    if link.truth.isTouched { checkDown(link) }
  }
}
#endif
