#if TESTABLE
import Glibc
import VoltlaneWire
@testable import Relay

/// The backend, and what is in front of it: it listens or not, accepts connections and loses them, and its mood decides
/// what it does with the packets.
final class SimulatedBackend: Peer {
  enum Mood: CaseIterable {
    /// Sends every packet back.
    case echoing
    /// Sends to anybody at all.
    case chatty
    /// Reads little at a time, or nothing.
    case slow, stalling
    /// Sends nonsense.
    case garbage
    case kicking
    /// Sends to sessions that have ended, or never existed.
    case haunting
    /// Loses its connection at certain packets, each time.
    case refusing
    /// Sends everything to one client.
    case favouring
    /// Sends volatile packets, and packets for many.
    case casting
    case restarting
    /// Something accepts the connection, and there is nobody behind it.
    case fronted
  }

  unowned let world: World
  let name = "backend"
  private var chance: Chance
  private var mood = Mood.echoing
  private var moodEnds: UInt64 = 0
  private var isCalm = false
  private(set) var link: Link?
  private var cutter = PacketCutter()
  private var listens = true
  /// Sessions that it was told of, and those that it was told were over.
  private(set) var known: [UInt64] = []
  private var knownSet: Set<UInt64> = []
  private var over: [UInt64] = []
  private(set) var packetsReceived = 0

  init(_ world: World) {
    self.world = world
    chance = Chance(world.seed, for: 500)
  }

  func begin() {
    if !world.plan.isCalm, !world.plan.isFair, chance.oneIn(4) {
      listens = false
      world.schedule(world.now &+ chance.time(10_000_000, 3_000_000_000)) { [self] in listens = true }
    }
    act()
  }

  func someID(_ chance: inout Chance) -> UInt64? {
    guard !known.isEmpty else { return nil }
    return known[chance.below(known.count)]
  }

  func calm() {
    isCalm = true
    listens = true
    mood = .echoing
    link?.heal()
    if let link { read(link) }
  }

  /// Ends all sessions.
  func kickAll() {
    for id in known { send(id, .kick, []) }
  }

  // MARK: The connection

  func dialled(_ link: Link) {
    link.truth.role = .backend
    link.beginDial()
    let isHostile = world.isHostile
    if isHostile, chance.happens(world.plan.odds.dialRefusals), chance.oneIn(2) { return }
    world.schedule(world.now &+ max(link.latency, 1000)) { [self] in
      guard !link.relayClosed else { return }
      if isHostile, chance.happens(world.plan.odds.dialRefusals) {
        let error = chance.pick([ECONNREFUSED, ETIMEDOUT, EHOSTUNREACH])
        return link.endDial(chance.oneIn(4) ? .itself : .failed(errno: error))
      }
      guard listens else { return link.endDial(.failed(errno: ECONNREFUSED)) }
      link.endDial(.connected)
      if isHostile, mood == .fronted {
        return world.schedule(world.now &+ chance.time(100_000, 4_000_000_000)) { [self] in
          if chance.oneIn(2) { link.reset() } else { link.close() }
        }
      }
      if let old = self.link, old !== link { old.close() }
      self.link = link
      cutter = PacketCutter()
      world.ledger.backendConnected(link)
    }
  }

  func hear(_ link: Link) {
    guard link === self.link else { return }
    switch isCalm ? .echoing : mood {
    case .slow, .stalling: return
    default: read(link)
    }
  }

  func hearEnd(_ link: Link) {
    if link.peerSawFin, link === self.link { read(link) }
    link.close()
    if link === self.link { self.link = nil }
  }

  private func lose() {
    guard let link else { return }
    world.note("    the backend loses its connection")
    if chance.oneIn(2) { link.reset() } else { link.close() }
    self.link = nil
  }

  // MARK: Acting

  private func act() {
    let hurried = chance.time(max(world.plan.leisure / 64, 1), max(world.plan.leisure / 4, 2))
    let leisure = isCalm ? 50_000_000 : hurried
    world.schedule(world.after(leisure)) { [self] in act() }
    if !isCalm, world.now >= moodEnds {
      mood = chance.pick(world.plan.backendMoods)
      moodEnds = world.now &+ chance.time(50_000_000, 5_000_000_000)
      world.note("    the backend is now \(mood)")
    }
    guard let link else { return }
    guard !isCalm else { return read(link) }
    switch mood {
    case .echoing: read(link)
    case .chatty:
      read(link)
      sendSome(chance.below(6))
    case .slow:
      read(link, most: chance.magnitude(1, 3000))
      sendSome(chance.below(2))
    case .stalling:
      sendSome(chance.below(2))
    case .garbage:
      read(link)
      sendSome(chance.below(3))
      if chance.oneIn(6) { link.write(garbage()) }
    case .kicking:
      read(link)
      sendSome(chance.below(4))
      if chance.oneIn(5), let id = someID(&chance) { send(id, .kick, bytes(chance.oneIn(4) ? chance.below(20) : 0)) }
    case .haunting:
      read(link)
      for _ in 0..<chance.below(4) {
        let id = over.isEmpty || chance.oneIn(4) ? chance.next() : chance.pick(over)
        send(id, chance.oneIn(4) ? .kick : .data, bytes(chance.below(50)))
      }
      sendSome(chance.below(3))
    case .refusing: read(link)
    case .favouring:
      read(link)
      if let id = known.first { for _ in 0..<chance.below(12) { send(id, .data, data()) } }
    case .casting:
      read(link)
      for _ in 0..<chance.below(3) { cast(link) }
      sendSome(chance.below(3), volatile: 2)
    case .restarting, .fronted:
      read(link)
      sendSome(chance.below(3))
      if chance.oneIn(6) {
        lose()
        if chance.oneIn(2) {
          listens = false
          world.schedule(world.now &+ chance.time(1_000_000, 3_000_000_000)) { [self] in listens = true }
        }
      }
    }
  }

  private func garbage() -> [UInt8] {
    switch chance.below(5) {
    case 0: return Wire.sizePrefixBytes(chance.below(9)) + bytes(8)
    case 1: return Wire.sizePrefixBytes(9) + bytes(8) + [UInt8(chance.between(1, 255))]
    case 2:
      // Too large for anything but a multicast, and its flag says that it is not one.
      let size = world.plan.configuration.maxPacketSize + 10 + chance.below(1000)
      return Wire.sizePrefixBytes(size) + bytes(8) + [PacketFlag.data.rawValue]
    case 3: return Wire.sizePrefixBytes(20) + bytes(8) + [1] + bytes(11)
    default: return malformedMulticast()
    }
  }

  private func malformedMulticast() -> [UInt8] {
    let most = world.plan.configuration.maxPacketSize
    func framed(_ data: [UInt8]) -> [UInt8] {
      Wire.sizePrefixBytes(Wire.tag + data.count) + bytes(8) + [ExtensionFlag.multicast.rawValue] + data
    }
    switch chance.below(6) {
    case 0: return framed(bytes(chance.below(Multicast.prefix)))
    case 1: return framed([2, 1, 0, 0, 0] + bytes(8 + chance.below(20)))
    // A list that is longer than its data, or than any.
    case 2: return framed([0, 9, 0, 0, 0] + bytes(chance.below(72)))
    case 3: return framed([5] + bytes(4) + bytes(chance.below(200)))
    // A packet that is too large.
    case 4: return framed([chance.oneIn(2) ? 0 : 5, 1, 0, 0, 0] + bytes(8 + most + chance.between(1, 99)))
    // More than any multicast may have.
    default:
      let size = most + Wire.tag + Multicast.mostOverhead + chance.between(1, 99)
      return Wire.sizePrefixBytes(size) + bytes(8) + [ExtensionFlag.multicast.rawValue]
    }
  }

  // MARK: Packets

  private func bytes(_ count: Int) -> [UInt8] {
    var bytes: [UInt8] = []
    while bytes.count < count {
      let word = chance.next()
      for _ in 0..<(count > 256 ? 64 : 1) { withUnsafeBytes(of: word) { bytes += $0 } }
    }
    bytes.removeLast(bytes.count - count)
    return bytes
  }

  private func data() -> [UInt8] {
    let most = world.plan.packetMost
    switch chance.below(8) {
    case 0: return []
    case 1: return bytes(chance.between(0, most))
    default: return bytes(chance.between(0, min(200, most)))
    }
  }

  /// One packet for many: for some of those that it knows, now and then twice, or for somebody who is not there.
  private func cast(_ link: Link) {
    guard link.unsentByPeer < 1 << 18, !known.isEmpty else { return }
    var ids = known.shuffled(using: &chance)
    if chance.oneIn(2) { ids = Array(ids.prefix(chance.below(ids.count + 1))) }
    if chance.oneIn(4), let again = ids.first { ids.insert(again, at: chance.below(ids.count + 1)) }
    if chance.oneIn(4), mayErr { ids.insert(over.last ?? chance.next(), at: chance.below(ids.count + 1)) }
    let isVolatile = chance.oneIn(2)
    var data = isVolatile ? volatileData() : self.data()
    // A list that fills the lanes.
    if chance.oneIn(50), let id = ids.first {
      ids = Array(repeating: id, count: chance.magnitude(1000, 20_000))
      data = bytes(8)
    }
    link.write(Multicast.framed(to: ids, isVolatile: isVolatile, dataCount: data.count) + data)
  }

  /// No two are the same, so that the checker knows which of them was dropped.
  private func volatileData() -> [UInt8] { bytes(8) + data().dropLast(8) }

  private var mayErr: Bool { !world.plan.isCalm && !world.plan.isFair }

  /// `volatile`: one in so many is worthless if it is late.
  private func sendSome(_ count: Int, volatile: Int = 8) {
    guard !known.isEmpty else { return }
    var id = chance.pick(known)
    for _ in 0..<count {
      // Often the same client again, because small packets for one client are passed on together.
      if chance.oneIn(2) { id = chance.pick(known) }
      if chance.oneIn(volatile) { sendVolatile(id) } else { send(id, .data, data()) }
    }
  }

  private func sendVolatile(_ id: UInt64) {
    guard let link, link.unsentByPeer < 1 << 18 else { return }
    let data = volatileData()
    var bytes = Tag(clientID: id, flag: .data).framed(dataCount: data.count)
    bytes[Wire.sizePrefix + Wire.clientID] = ExtensionFlag.volatile.rawValue
    link.write(bytes + data)
  }

  private func send(_ id: UInt64, _ flag: PacketFlag, _ data: [UInt8]) {
    guard let link, flag == .kick || link.unsentByPeer < 1 << 18 else { return }
    link.write(Tag(clientID: id, flag: flag).framed(dataCount: data.count) + data)
  }

  private func read(_ link: Link, most: Int = .max) {
    let bytes = link.read(most)
    guard !bytes.isEmpty else { return }
    var packets: [[UInt8]] = []
    bytes.withUnsafeBytes { cutter.cut($0) { packets.append(Array($0)) } }
    for packet in packets {
      if let tag = Tag(packet.span.bytes, from: .relay) { take(tag, packet) } else { takeNews(packet) }
      if self.link !== link { return }
    }
  }

  /// Somebody is away, or connects from somewhere.
  private func takeNews(_ packet: [UInt8]) {
    packetsReceived += 1
    let id = packet.withUnsafeBytes { UInt64(littleEndian: $0.loadUnaligned(as: UInt64.self)) }
    if knownSet.insert(id).inserted { known.append(id) }
  }

  private func take(_ tag: Tag, _ packet: [UInt8]) {
    packetsReceived += 1
    switch tag.flag {
    case .data, .reconnection:
      if knownSet.insert(tag.clientID).inserted { known.append(tag.clientID) }
      if tag.flag == .data, mood == .echoing || mood == .garbage && chance.oneIn(2), !isCalm {
        send(tag.clientID, .data, Array(packet.dropFirst(Wire.tag)))
      }
      if mood == .refusing, !isCalm, packet.count > Wire.tag, packet[Wire.tag] % 16 == 3 { lose() }
    case .failure:
      if knownSet.remove(tag.clientID) != nil { known.removeAll { $0 == tag.clientID } }
      over.append(tag.clientID)
      if over.count > 32 { over.removeFirst() }
    case .kick: break
    }
  }
}
#endif
