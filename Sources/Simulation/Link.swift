#if TESTABLE
import Glibc
@testable import Relay

/// A connection: one end is the relay's socket, the other a simulated peer's. Bytes cross it in pieces, in order, each
/// after the network's delay; every fault of a connection happens here.
///
///     peer.write -> toRelay -> (network) -> arrived -> relay.receive
///     peer.read  <- inbox   <- (network) <- toPeer  <- relay.send        `unacknowledged`: toPeer and the network
final class Link {
  unowned let world: World
  /// Counts all connections; never reused, unlike the descriptor.
  let number: Int
  var descriptor: Int32 = -1
  /// Who is at the other end: a client's number, or that of the backend.
  let peer: any Peer
  let address: ClientAddress
  let isLocal: Bool
  /// The port that the client connects from.
  var port: UInt16 { isLocal ? 0 : UInt16(1024 + number % 60_000) }
  var chance: Chance
  let latency: UInt64

  // Towards the relay.
  private var toRelay = LinkStream()
  private(set) var arrived = ByteQueue()
  var receiveCapacity: Int
  private var peerFinQueued = false
  /// The peer's FIN has arrived at the relay's socket.
  private(set) var finArrived = false
  /// The relay has read it from an attached client; from one in the handshake it reads it again.
  private(set) var finRead = false
  /// The error with which the connection ended for the relay; 0 while it has not.
  private(set) var error: Int32 = 0
  private var errorWasTold = false
  /// The kernel refused the relay's last send although there was room.
  private(set) var sendWasRefused = false
  /// Since when bytes have been unread, in turns of the host that has to read them.
  private var unreadSince: Int?
  /// When the relay last read something for its session, and when it closed the socket.
  var lastRead: UInt64 = 0
  var closedAt = UInt64.max
  /// When the relay last read it or sent on it: a close may enter the kernel long after it was decided.
  private(set) var calledAt: UInt64 = 0

  // Towards the peer.
  private var toPeer = LinkStream()
  private(set) var inbox = ByteQueue()
  var sendCapacity: Int
  var inboxCapacity: Int
  private(set) var unacknowledged = 0
  /// Bytes that the relay's send calls have taken, and that the peer's TCP has acknowledged.
  private(set) var sent = 0
  var acknowledged: Int { sent - unacknowledged }
  /// The same as the relay last saw it: a unix socket has no reset, and its peer reads on after the relay's close.
  private(set) var acknowledgedSeen = 0
  private var lastAcknowledgement: UInt64 = 0
  private(set) var relayFinished = false
  private var relayFinDelivered = false
  private(set) var relayReset = false
  private(set) var relayClosed = false
  private(set) var relayAbandoned = false

  // The peer's own view.
  private(set) var peerSawFin = false
  private(set) var peerSawReset = false
  private(set) var peerClosed = false

  /// Nothing crosses any more, and nobody is told.
  private(set) var isCut = false
  private var userTimeoutRuns = false

  /// The relay is dialling, and this will be the outcome.
  private(set) var isConnecting = false
  private(set) var dialResult = DialResult.connected

  /// The relay has dialled; the outcome comes.
  func beginDial() { isConnecting = true }

  func endDial(_ result: DialResult) {
    isConnecting = false
    dialResult = result
    writeEdge()
  }

  /// There is more than one if the relay has handed the socket over from one shard to another, and the first shard's
  /// cancellation is still under way.
  var polls: [Poll] = []
  /// The relay has closed the descriptor, and a poll keeps the socket open.
  var isHeldOpen = false

  /// What the checker knows about it.
  var truth = LinkTruth()

  init(_ world: World, _ number: Int, _ peer: any Peer, _ address: ClientAddress, chance: Chance) {
    self.world = world
    self.number = number
    self.peer = peer
    self.address = address
    isLocal = address == .none
    self.chance = chance
    truth.openedIn = world.turns
    let plan = world.plan
    latency = plan.latency == 0 ? 0 : self.chance.time(max(plan.latency / 8, 1), plan.latency)
    receiveCapacity = self.chance.magnitude(plan.bufferLeast, plan.bufferMost)
    sendCapacity = self.chance.magnitude(plan.bufferLeast, plan.bufferMost)
    inboxCapacity = self.chance.magnitude(plan.bufferLeast, plan.bufferMost)
    if self.chance.happens(plan.odds.linkBreaks) {
      if self.chance.oneIn(2) {
        toRelay.breaksAfter = self.chance.magnitude(1, 100_000)
      } else {
        toPeer.breaksAfter = self.chance.magnitude(1, 100_000)
      }
    }
  }

  /// Whether the relay's socket has not noticed an end.
  var looksAlive: Bool { !relayClosed && !relayReset && error == 0 }
  /// Whether the peer may still expect something.
  var peerHopes: Bool { !peerClosed && !peerSawReset && !peerSawFin }

  // MARK: The peer's side

  func write(_ bytes: [UInt8]) {
    guard !peerClosed, !peerFinQueued, !peerSawReset else { return }
    toRelay.append(bytes)
    pumpToRelay()
  }

  /// Bytes that the peer's own kernel still holds.
  var unsentByPeer: Int { toRelay.count + toRelay.crossing }

  func finish() {
    guard !peerFinQueued, !peerClosed else { return }
    peerFinQueued = true
    pumpToRelay()
  }

  func read(_ most: Int) -> [UInt8] {
    let bytes = inbox.take(min(most, inbox.count))
    if !bytes.isEmpty { pumpToPeer() }
    return bytes
  }

  /// The peer closes its socket: with a reset if it has not read everything.
  func close() {
    guard !peerClosed else { return }
    if !inbox.isEmpty { return reset() }
    finish()
    peerClosed = true
  }

  func reset() {
    guard !peerClosed else { return }
    peerClosed = true
    toRelay.removeAll()
    inbox.removeAll()
    guard !isCut else { return }
    let breaks = chance.oneIn(2)
    if breaks { toRelay.loseCrossing() }
    after(latency) { $0.relayHearsReset(ECONNRESET) }
    if breaks { serial += 1 }
  }

  /// Whatever is crossing when this changes is lost.
  private var serial = 0

  private func after(_ time: UInt64, _ body: @escaping (Link) -> Void) {
    world.schedule(world.now &+ time) { [self] in body(self) }
  }

  private func pumpToRelay() {
    guard !isCut, !relayClosed || !toRelay.isEmpty else { return }
    while !toRelay.isEmpty {
      let window = receiveCapacity - arrived.count - toRelay.crossing
      guard window > 0 || relayClosed else { return }
      let bytes = toRelay.depart(window: window, world.plan.odds.segments, &chance)
      let start = serial
      world.schedule(toRelay.arrival(world.now &+ jitter())) { [self] in
        guard !isCut, serial == start else { return }
        toRelay.arrive(bytes.count)
        arriveAtRelay(bytes)
      }
      if toRelay.breaksAfter == 0 { return breakDown() }
    }
    guard peerFinQueued, !peerFinSent else { return }
    peerFinSent = true
    let start = serial
    world.schedule(toRelay.arrival(world.now &+ jitter())) { [self] in
      guard !isCut, serial == start, error == 0 else { return }
      world.trace.mix(number)
      world.note("    FIN of \(name) arrives")
      finArrived = true
      readEdge()
    }
  }

  private var peerFinSent = false

  private func jitter() -> UInt64 { latency == 0 ? 0 : latency / 2 &+ chance.next() % latency }

  private func arriveAtRelay(_ bytes: [UInt8]) {
    if relayClosed {
      // A peer that sends to a closed socket gets a reset.
      if !relayAbandoned { after(latency) { $0.peerHearsReset() } }
      return
    }
    guard error == 0, !relayReset else { return }
    if arrived.isEmpty { unreadSince = readerTurns }
    arrived.append(bytes)
    readEdge()
  }

  // MARK: What becomes of it

  /// The connection breaks, at this byte.
  func breakDown() {
    guard !isCut else { return }
    world.note("    \(name) breaks")
    switch chance.below(3) {
    case 0:
      // Somebody on the way resets both.
      isCut = true
      after(latency) { $0.relayHearsReset(ECONNRESET) }
      after(latency) { $0.peerHearsReset() }
    case 1:
      // The peer finds out, the relay does not.
      isCut = true
      after(chance.time(1_000_000, 2_000_000_000)) { $0.peerHearsReset() }
      startSilence()
    default:
      isCut = true
      after(chance.time(1_000_000, 20_000_000_000)) { $0.peerGivesUp() }
      startSilence()
    }
  }

  /// The relay's kernel finds out in the end, by keepalive or by what is not acknowledged.
  private func startSilence() {
    guard world.plan.keepalive > 0 else { return runUserTimeout() }
    after(world.plan.keepalive &+ chance.next() % world.plan.keepalive) { $0.relayHearsReset(ETIMEDOUT) }
  }

  private func runUserTimeout() {
    let time = world.plan.userTimeout
    guard time > 0, !userTimeoutRuns, !isLocal, unacknowledged > 0 else { return }
    userTimeoutRuns = true
    let mark = acknowledged
    let due = max(lastAcknowledgement, world.now) &+ time
    world.schedule(due) { [self] in
      userTimeoutRuns = false
      guard unacknowledged > 0, error == 0, !relayClosed else { return }
      if acknowledged == mark { relayHearsReset(ETIMEDOUT) } else { runUserTimeout() }
    }
  }

  private func relayHearsReset(_ errno: Int32) {
    guard error == 0, !relayReset, !relayClosed || !toPeer.isEmpty else { return }
    guard !relayClosed else {
      toPeer.removeAll()
      return
    }
    world.trace.mix(number)
    world.note("    reset of \(name) arrives (\(errno))")
    error = finArrived ? EPIPE : errno
    isCut = true
    toPeer.removeAll()
    if chance.oneIn(2) { arrived.removeAll() }
    readEdge()
    writeEdge()
  }

  private func peerGivesUp() {
    guard !peerClosed, !peerSawReset else { return }
    peerHearsReset()
  }

  private func peerHearsReset() {
    guard !peerSawReset, !peerClosed else { return }
    peerSawReset = true
    isCut = true
    toRelay.removeAll()
    if chance.oneIn(4) { inbox.removeAll() }
    peer.hearEnd(self)
  }

  // MARK: The relay's side

  var name: String { "\(peer.name) #\(number)" }

  /// Another host reads the connection from now on: how long it has waited is counted in that host's turns.
  func isPolled(at host: Int) {
    if let last = polls.last, last.host != host, unreadSince != nil { unreadSince = world.turnsOf(host) }
  }

  /// Turns that the host has had that reads the connection.
  private var readerTurns: Int? { polls.last.map { world.turnsOf($0.host) } }

  func receive(_ target: UnsafeMutableRawPointer, _ count: Int) -> Int {
    guard count > 0 else { return 0 }
    calledAt = world.now
    if !arrived.isEmpty {
      if let refusal = world.refusesReceive() { return -Int(refusal) }
      var taken = min(count, arrived.count)
      let isPartial = taken > 1 && world.chance.happens(world.plan.odds.partialReads)
      if isPartial { taken = world.chance.between(1, taken) }
      arrived.take(taken, into: target)
      world.moves += 1
      if let unreadSince, let readerTurns, !world.backendWasBlocked(since: unreadSince) {
        world.ledger.checkFairness(self, waited: readerTurns - unreadSince)
      }
      unreadSince = arrived.isEmpty ? nil : readerTurns
      // As if the rest had arrived a moment later.
      if taken < count, !arrived.isEmpty || finArrived || error != 0 { readEdge() }
      world.ledger.relayReceived(self, UnsafeRawBufferPointer(start: target, count: taken))
      if receiveCapacity > arrived.count { pumpToRelay() }
      return taken
    }
    if finArrived {
      finRead = truth.session != nil
      world.ledger.relayReadFin(self)
      return 0
    }
    if error != 0 {
      errorWasTold = true
      return -Int(error)
    }
    return -Int(EAGAIN)
  }

  func send(_ bytes: UnsafeRawBufferPointer) -> Int {
    guard !relayFinished else {
      world.fail("the relay sends on \(name) after its FIN")
      return -Int(EPIPE)
    }
    calledAt = world.now
    if error != 0 {
      defer { errorWasTold = true }
      return -Int(errorWasTold ? EPIPE : error)
    }
    sendWasRefused = false
    if let refusal = world.refusesSend() {
      sendWasRefused = true
      return -Int(refusal)
    }
    let room = sendCapacity - unacknowledged
    guard room > 0 else { return -Int(EAGAIN) }
    var taken = min(bytes.count, room)
    if taken > 1, world.chance.happens(world.plan.odds.partialWrites) { taken = world.chance.between(1, taken) }
    if unacknowledged == 0 { lastAcknowledgement = world.now }
    toPeer.append(UnsafeRawBufferPointer(rebasing: bytes[0..<taken]))
    sent += taken
    world.moves += 1
    unacknowledged += taken
    runUserTimeout()
    pumpToPeer()
    return taken
  }

  private func pumpToPeer() {
    // A connection that was reset sends no FIN.
    guard !isCut, !relayReset else { return }
    while !toPeer.isEmpty {
      let window = inboxCapacity - inbox.count - toPeer.crossing
      guard window > 0 || peerClosed else { return }
      let bytes = toPeer.depart(window: window, world.plan.odds.segments, &chance)
      world.schedule(toPeer.arrival(world.now &+ jitter())) { [self] in
        guard !isCut else { return }
        toPeer.arrive(bytes.count)
        arriveAtPeer(bytes)
      }
      if toPeer.breaksAfter == 0 { return breakDown() }
    }
    guard relayFinished || relayClosed, !relayFinDelivered else { return }
    relayFinDelivered = true
    world.schedule(toPeer.arrival(world.now &+ jitter())) { [self] in
      guard !isCut, !peerClosed else { return }
      peerSawFin = true
      peer.hearEnd(self)
    }
  }

  private func arriveAtPeer(_ bytes: [UInt8]) {
    if peerClosed {
      after(latency) { $0.relayHearsReset(ECONNRESET) }
      return
    }
    inbox.append(bytes)
    let count = bytes.count
    after(latency / 2) { link in
      guard link.error == 0, !link.relayReset else { return }
      link.unacknowledged -= count
      link.lastAcknowledgement = link.world.now
      link.writeEdge()
    }
    peer.hear(self)
  }

  func shutdownSending() {
    relayFinished = true
    world.ledger.relayFinished(self)
    pumpToPeer()
    if finArrived { readEdge() }
  }

  /// The relay resets the connection. False for a unix socket.
  func resetByRelay() -> Bool {
    guard !isLocal else { return false }
    guard error == 0 else { return true }
    relayReset = true
    toPeer.removeAll()
    after(latency) { $0.peerHearsReset() }
    return true
  }

  func abandon() {
    relayAbandoned = true
    toPeer.removeAll()
    isCut = true
    after(chance.time(1_000_000, 20_000_000_000)) { $0.peerGivesUp() }
  }

  func unacknowledgedForRelay() -> Int {
    if relayReset { world.fail("the relay asks what \(name) acknowledged after it was reset") }
    acknowledgedSeen = acknowledged
    return unacknowledged
  }

  var silence: UInt64 { unacknowledged > 0 ? world.now - min(world.now, lastAcknowledgement) : 0 }

  func closeByRelay() {
    world.ledger.relayClosed(self)
    isHeldOpen = true
    if polls.isEmpty { letGo() }
  }

  /// Nothing keeps the socket open any more.
  func letGo() {
    isHeldOpen = false
    relayClosed = true
    guard !relayReset, !relayAbandoned, error == 0 else { return }
    if !arrived.isEmpty {
      toPeer.removeAll()
      after(latency) { $0.peerHearsReset() }
    } else {
      pumpToPeer()
    }
  }

  /// Nobody has accepted the peer's connection, and nobody will.
  func refuseConnection() { after(latency) { $0.peerHearsReset() } }

  /// Faults end, and the network carries on.
  func heal() {
    toRelay.breaksAfter = nil
    toPeer.breaksAfter = nil
  }
}
#endif
