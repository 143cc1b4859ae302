#if TESTABLE
import VoltlaneCrypto
import VoltlaneWire
@testable import Relay

/// A client with a key of its own. Its mood decides what it does; what it knows, such as its session's id, stays.
final class Person: Peer {
  unowned let world: World
  let number: Int
  let name: String
  private var chance: Chance
  private let key: SecretKey
  private lazy var sessionKey = key.sessionKey(with: world.identity.publicKey)
  private var mood = Mood.honest
  private var moodEnds: UInt64 = 0
  private var isCalm = false
  /// Its session, as far as it knows.
  private(set) var id: UInt64?
  private var talks: [Talk] = []
  /// The last answer that it gave, for moods that replay it.
  private var lastResponse: [UInt8] = []
  private var nextTry: UInt64 = 0
  private(set) var packetsReceived = 0

  /// One conversation with the relay.
  final class Talk {
    enum Stage { case key, id, challenge, ping, attached, over }
    let link: Link
    var stage = Stage.key
    /// The session that it asks for; nil for a new one.
    let claim: UInt64?
    let mood: Mood
    var cutter = PacketCutter()
    /// Where its FIN comes within what it sends.
    var finishesAfter: Int?
    var hasFinished = false
    /// The relay's key has arrived.
    var hasKey = false
    let openedAt: UInt64
    /// The missing rest of a packet that it has begun.
    var owed: Int?

    init(_ link: Link, claim: UInt64?, mood: Mood) {
      self.link = link
      self.claim = claim
      self.mood = mood
      openedAt = link.world.now
    }
  }

  init(_ world: World, _ number: Int) {
    self.world = world
    self.number = number
    name = "client \(number)"
    chance = Chance(world.seed, for: 1000 + UInt64(number))
    key = Keys.people[number]
  }

  func begin() { world.schedule(world.now &+ 150_000_000 &+ chance.next() % 100_000_000) { [self] in act() } }

  /// The one client of a fair world that may do anything.
  var isMischievous: Bool { number == 0 && world.plan.isFair }

  private var session: Talk? { talks.last { $0.stage == .attached && $0.claim ?? id == id && $0.link.peerHopes } }
  var isAttached: Bool { session != nil }
  var link: Link? { session?.link }

  /// Faults and mischief are over: everybody reads what arrives, and comes back.
  func calm() {
    isCalm = true
    mood = .honest
    for talk in talks {
      talk.link.heal()
      if talk.stage != .attached || talk.link !== session?.link { talk.link.reset() }
    }
    talks.removeAll { $0.link.peerClosed }
    nextTry = 0
    if let session { read(session) }
  }

  /// Leaves for good.
  func leave() {
    for talk in talks { talk.link.close() }
    talks = []
    hasLeft = true
  }
  private var hasLeft = false

  // MARK: Acting

  private func act() {
    guard !hasLeft else { return }
    let leisure = isCalm ? 50_000_000 : chance.time(max(world.plan.leisure / 16, 1), world.plan.leisure)
    world.schedule(world.after(leisure)) { [self] in act() }
    if !isCalm, world.now >= moodEnds {
      mood = chance.pick(isMischievous ? Mood.allCases : world.plan.moods)
      moodEnds = world.now &+ chance.time(100_000_000, 10_000_000_000)
      world.note("    \(name) is now \(mood)")
    }
    talks.removeAll { $0.link.peerClosed || $0.stage == .over }
    guard let session else { return actAlone() }
    if isCalm { return read(session) }
    actAttached(session)
  }

  private func actAlone() {
    let isTrying = talks.contains { $0.stage != .over && $0.link.peerHopes && ($0.mood == .honest || $0.claim == nil) }
    if isTrying, isCalm || !chance.oneIn(20) { return }
    guard world.now >= nextTry else { return }
    nextTry = world.now &+ chance.time(1_000_000, 500_000_000)
    // After the faults there are no new clients; those that have a session come back to it.
    if isCalm, id == nil { return }
    // While the relay stands still nobody is answered, and thousands of connections would only cost time.
    guard talks.count < 32 else { return }
    open(as: id, mood)
  }

  private func actAttached(_ talk: Talk) {
    let link = talk.link
    switch mood {
    case .honest, .pipelining, .slow:
      sendSome(talk, chance.below(4))
      if mood == .slow { read(talk, most: chance.magnitude(1, 2000)) } else { read(talk) }
    case .deaf:
      sendSome(talk, chance.below(2))
    case .sipping:
      read(talk, most: chance.magnitude(1, 300))
      if chance.oneIn(2) { open(as: id, .honest) }
    case .silent:
      read(talk)
    case .flooding:
      sendSome(talk, chance.between(8, 60))
      read(talk)
    case .oversize:
      sendSome(talk, 1)
      let most = world.plan.configuration.maxPacketSize
      if chance.oneIn(8) { link.write(Wire.sizePrefixBytes(most + chance.between(1, 9999))) }
      read(talk)
    case .unfinished:
      if chance.oneIn(6), !talk.hasFinished {
        let size = chance.between(1, max(1, world.plan.configuration.maxPacketSize))
        let count = chance.below(size)
        link.write(Wire.sizePrefixBytes(size) + bytes(count))
        talk.owed = size - count
      }
      read(talk)
    case .malformed, .replaying, .echoingChallenge, .wrong, .parking, .guessing:
      sendSome(talk, chance.below(2))
      read(talk)
      if chance.oneIn(4), talks.count < 6 { open(as: someID(), mood) }
    case .finishing:
      sendSome(talk, chance.below(3))
      if chance.oneIn(3), !talk.hasFinished { finish(talk) }
      // Whatever is waiting for it then is not acknowledged, and has to be sent again when it comes back.
      if !talk.hasFinished { read(talk) } else if chance.oneIn(6) { link.reset() }
    case .restless:
      sendSome(talk, chance.below(3))
      read(talk)
      switch chance.below(8) {
      case 0: link.reset()
      case 1: link.close()
      case 2: open(as: id, .honest)
      case 3: finish(talk)
      default: break
      }
    }
  }

  private func finish(_ talk: Talk) {
    guard !talk.hasFinished else { return }
    talk.hasFinished = true
    talk.link.finish()
  }

  /// An id to ask for: its own, another's, or none.
  private func someID() -> UInt64 {
    switch mood {
    case .guessing: return chance.next()
    default: break
    }
    if let id, chance.oneIn(2) { return id }
    return world.backend.someID(&chance) ?? id ?? chance.next()
  }

  // MARK: Sending

  private func bytes(_ count: Int) -> [UInt8] {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(count + 8)
    while bytes.count < count {
      let word = chance.next()
      // Long ones need not be random throughout.
      let repeats = count > 256 ? 64 : 1
      for _ in 0..<repeats { withUnsafeBytes(of: word) { bytes += $0 } }
    }
    bytes.removeLast(bytes.count - count)
    return bytes
  }

  private func packet() -> [UInt8] {
    let most = world.plan.packetMost
    let size =
      switch chance.below(8) {
      case 0: 0
      case 1: chance.between(0, min(3, most))
      case 2: chance.between(0, most)
      default: chance.between(0, min(200, most))
      }
    return Wire.sizePrefixBytes(size) + bytes(size)
  }

  private func sendSome(_ talk: Talk, _ count: Int) {
    guard count > 0, !talk.hasFinished, talk.link.unsentByPeer < 1 << 17 else { return }
    if let left = talk.owed {
      talk.owed = nil
      talk.link.write(bytes(left))
    }
    var all: [UInt8] = []
    for _ in 0..<count { all += packet() }
    say(talk, all)
  }

  /// Sends something, with the FIN somewhere in it if that is its mood.
  private func say(_ talk: Talk, _ bytes: [UInt8]) {
    guard let left = talk.finishesAfter else { return talk.link.write(bytes) }
    talk.link.write(Array(bytes.prefix(left)))
    talk.finishesAfter = left - min(left, bytes.count)
    if bytes.count >= left { finish(talk) }
  }

  // MARK: The handshake

  private func open(as claim: UInt64?, _ mood: Mood) {
    let plan = world.plan
    var address = chance.pick(plan.addresses)
    // What it does counts against its address, so the others have another one.
    if isMischievous { address = ClientAddress(v4: 0xc000_0201) }
    if plan.hasUnixListener, chance.oneIn(3) { address = .none }
    var isProxied = address == .none && plan.configuration.protection.trustsUnixProxies
    if let proxy = plan.proxy, chance.oneIn(3) {
      address = proxy
      isProxied = true
    }
    let link = world.connect(self, address, shard: chance.below(16), chance: Chance(chance.next()))
    link.truth.origin = Origin(address, port: link.port).bytes
    link.truth.addresses = [address]
    link.truth.admittedAs = address
    let talk = Talk(link, claim: claim, mood: mood)
    talks.append(talk)
    if isProxied {
      let header = ProxiedClient(isMischievous: isMischievous, port: UInt16(1000 + number), &chance)
      link.truth.headerBytes = header.bytes.count
      link.truth.admittedAs = header.client
      if let client = header.client {
        link.truth.origin = Origin(client, port: header.port).bytes
        link.truth.addresses.append(client)
      }
      if mood == .malformed, chance.oneIn(4) { return link.write(header.spoilt(&chance)) }
      link.write(header.bytes)
    }
    if mood == .finishing { talk.finishesAfter = chance.between(0, 200) }
    switch mood {
    case .silent where chance.oneIn(2): return
    case .malformed where chance.oneIn(2): return say(talk, garbage())
    default: break
    }
    say(talk, FramedHandshakePacket.protocolVersion().bytes)
    if mood == .pipelining || mood == .flooding || chance.oneIn(4) { introduce(talk) }
  }

  private func garbage() -> [UInt8] {
    switch chance.below(5) {
    case 0: return bytes(chance.between(1, 400))
    case 1: return Wire.sizePrefixBytes(chance.between(257, 1 << 24))
    case 2: return FramedHandshakePacket.ping.bytes
    case 3: return FramedHandshakePacket.protocolVersion(UInt32(chance.below(5))).bytes + bytes(chance.below(40))
    default: return Wire.sizePrefixBytes(34) + [2, 33, 2] + bytes(32)
    }
  }

  /// Sends its own key, or the id of the session that it wants.
  private func introduce(_ talk: Talk) {
    guard talk.stage == .key else { return }
    if let claim = talk.claim {
      talk.stage = .challenge
      return say(talk, FramedHandshakePacket.clientID(claim).bytes)
    }
    talk.stage = .id
    if talk.mood == .malformed, chance.oneIn(2) { return say(talk, garbage()) }
    var hello = key.publicKey.withCompressed { FramedHandshakePacket.publicKey($0).bytes }
    if talk.mood == .pipelining || talk.mood == .flooding { for _ in 0..<chance.below(4) { hello += packet() } }
    say(talk, hello)
  }

  private func respond(_ talk: Talk, to challenge: [UInt8]) {
    talk.stage = .ping
    guard talk.mood != .parking else { return }
    var box = challenge
    switch talk.mood {
    case .echoingChallenge: break
    case .replaying where !lastResponse.isEmpty: box = lastResponse
    case .wrong: box = bytes(SealedBox.byteCount)
    default:
      guard let plain = SealedBox.open(challenge.span.bytes, key: sessionKey) else { return talk.link.reset() }
      var nonce = SealedBox.Nonce(repeating: 0)
      for index in 0..<24 { nonce[index] = UInt8(truncatingIfNeeded: chance.next()) }
      let sealed = SealedBox.seal(plain.span.bytes, key: sessionKey, nonce: nonce)
      box = (0..<SealedBox.byteCount).map { sealed[$0] }
      lastResponse = box
    }
    let response = FramedHandshakePacket.challengeResponse(box.span.bytes).bytes
    var rest = FramedHandshakePacket.ping.bytes
    if talk.mood == .pipelining || chance.oneIn(4) { for _ in 0..<chance.below(3) { rest += packet() } }
    if chance.oneIn(3), talk.mood != .finishing {
      say(talk, response)
      world.schedule(world.now &+ chance.time(1000, 50_000_000)) { [self] in say(talk, rest) }
    } else {
      say(talk, response + rest)
    }
  }

  // MARK: Hearing

  func hear(_ link: Link) {
    guard let talk = talks.first(where: { $0.link === link }) else { return }
    // In the handshake everybody reads.
    if talk.stage == .attached, !isCalm {
      switch mood {
      case .slow, .deaf, .sipping: return
      case .finishing where talk.hasFinished: return
      default: if chance.oneIn(4) { return }
      }
    }
    read(talk)
  }

  private func read(_ talk: Talk, most: Int = .max) {
    let bytes = talk.link.read(most)
    guard !bytes.isEmpty else { return }
    var packets: [[UInt8]] = []
    bytes.withUnsafeBytes { talk.cutter.cut($0) { packets.append(Array($0)) } }
    for packet in packets { take(packet, talk) }
  }

  private func take(_ packet: [UInt8], _ talk: Talk) {
    guard talk.stage != .attached else {
      packetsReceived += 1
      return
    }
    guard let decoded = try? HandshakePacket.decode(packet.span.bytes) else {
      return world.fail("\(talk.link.name) is told something in the handshake that makes no sense")
    }
    switch decoded {
    case .publicKey:
      talk.hasKey = true
      introduce(talk)
    case .clientID(let id):
      self.id = id
      talk.stage = .attached
    case .challenge(let range): respond(talk, to: Array(packet[range]))
    case .ping:
      talk.stage = .attached
    case .protocolVersion, .challengeResponse:
      world.fail("\(talk.link.name) is told what only clients say")
    }
  }

  func hearEnd(_ link: Link) {
    guard let talk = talks.first(where: { $0.link === link }) else { return }
    if link.peerSawFin, !link.peerSawReset {
      read(talk)
      // Between id and challenge an orderly close says that the session is over.
      if talk.stage == .challenge, talk.hasKey, talk.cutter.partial == 0, let claim = talk.claim,
        talk.mood != .malformed,
        talk.finishesAfter == nil,
        // If a socket cannot be reset, the beginning of a challenge says that the session lives, if it can be sent.
        !link.isLocal || !link.sendWasRefused
      {
        world.ledger.isToldOver(claim, link)
        if claim == id { id = nil }
      }
    }
    if !isMischievous, !isCalm, !talk.hasFinished, talk.stage != .attached {
      world.ledger.wasTurnedAway(link, claim: talk.claim, openedAt: talk.openedAt)
    }
    talk.stage = .over
    link.close()
  }
}
#endif
