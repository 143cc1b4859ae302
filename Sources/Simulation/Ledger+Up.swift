#if TESTABLE
import VoltlaneWire
@testable import Relay

/// A packet that the backend was sent.
struct UpPacket {
  enum Flag {
    case data, failure, reconnection, away, address
  }

  let link: Link
  let id: UInt64
  let flag: Flag
  /// Its data, or what stands for what the relay says.
  let packet: Fingerprint
  /// The data of a 0x07, and the text of a 0x01.
  let address: [UInt8]
  let text: String

  /// nil if it is nothing that the relay may send.
  init?(_ link: Link, _ bytes: UnsafeRawBufferPointer) {
    guard bytes.count >= Wire.tag else { return nil }
    let data = UnsafeRawBufferPointer(rebasing: bytes[Wire.tag...])
    self.link = link
    id = UInt64(littleEndian: bytes.loadUnaligned(as: UInt64.self))
    switch bytes[Wire.clientID] {
    case PacketFlag.data.rawValue: (flag, packet) = (.data, Fingerprint(data))
    case PacketFlag.failure.rawValue: (flag, packet) = (.failure, Fingerprint(data))
    case PacketFlag.reconnection.rawValue where data.isEmpty: (flag, packet) = (.reconnection, .reconnection)
    case ExtensionFlag.away.rawValue where data.isEmpty: (flag, packet) = (.away, .away)
    case ExtensionFlag.address.rawValue: (flag, packet) = (.address, .address(Fingerprint(data)))
    default: return nil
    }
    text = flag == .failure ? String(decoding: data, as: UTF8.self) : ""
    address = flag == .address ? Array(data) : []
  }
}

/// The rules of the way up: of each session an address first, if addresses are told; then its packets in order, with a
/// 0x04 where its client goes away, and 0x03 and address where it comes back; and one 0x01 at the end.
extension Ledger {
  func checkUp(_ packet: UpPacket) {
    let (link, id) = (packet.link, packet.id)
    if !link.truth.hasBegun {
      link.truth.hasBegun = true
      link.truth.begunIn = connectedIn
      if beginsWithSweep { link.truth.sweep = SweepTruth() }
    }
    checkAddressFollows(packet)
    guard let session = sessions[id] else { return checkStranger(packet) }
    if link.truth.sweep != nil, isInSweep(packet, session) { return }
    switch packet.flag {
    case .reconnection:
      checkUpData(session, packet)
      if world.plan.configuration.tellsAddresses { link.truth.awaitsAddress = session }
    case .data, .away, .address: checkUpData(session, packet)
    case .failure where packet.text == "unknown client":
      session.answers += 1
      if session.endedInside == nil { world.fail("\(session.ownerName) is called unknown while it is alive") }
      if session.reason == nil, mayMiss == 0 { world.fail("\(session.ownerName) is called unknown before its 0x01") }
      if session.answers > session.addressed { world.fail("\(session.ownerName) is answered too often") }
    case .failure: checkEnd(session, packet.text)
    }
  }

  /// An id that is not a session's, as far as the checker knows.
  private func checkStranger(_ packet: UpPacket) {
    let id = packet.id
    switch packet.flag {
    case .reconnection, .away, .address: break
    case .data, .failure: endSweep(packet.link)
    }
    if packet.text != "unknown client", isUnnamed(id, packet.flag) { return }
    guard packet.flag == .failure, packet.text == "unknown client" else {
      return world.fail("the backend is told '\(packet.flag)' of \(id), which nobody ever was")
    }
    strangers[id, default: (0, 0)].answers += 1
    let told = strangers[id, default: (0, 0)]
    if told.answers > told.addressed { world.fail("\(id) is answered more often than it was addressed") }
  }

  /// Whether this may be said about a session that the checker has not seen: that it exists, and then that it has
  /// ended. There are no more such sessions than the relay has counted.
  private func isUnnamed(_ id: UInt64, _ flag: UpPacket.Flag) -> Bool {
    guard flag != .data, unnamed[id] != true else { return false }
    if unnamed[id] == nil, all.count + unnamed.count >= Int(started.reduce(0, +)) { return false }
    unnamed[id] = flag == .failure
    return true
  }

  private func checkUpData(_ session: SessionTruth, _ packet: UpPacket) {
    guard session.reason == nil else { return world.fail("something of \(session.ownerName) comes after its 0x01") }
    var place = session.upSeen
    while place < session.up.count, session.up[place].packet != packet.packet {
      if session.mayMiss(place) {
        place += 1
      } else if session.spareReturns > 0, session.up[place].packet == .reconnection {
        session.spareReturns -= 1
        place += 1
        // Its address comes with it.
        let isOther = place < session.up.count && session.up[place].packet != packet.packet
        if isOther, session.up[place].packet.isAddress { place += 1 }
      } else if mayMiss > 0 {
        mayMiss -= 1
        place += 1
      } else {
        break
      }
    }
    guard place < session.up.count, session.up[place].packet == packet.packet else {
      let what = packet.flag == .data ? "a packet of \(packet.packet.size) bytes" : "'\(packet.flag)'"
      return world.fail(
        "of \(session.ownerName) the backend is sent \(what), due was \(session.upSeen) of \(session.up.count)")
    }
    if packet.flag == .reconnection, place < session.announcedUpTo { session.spareReturns += 1 }
    session.upSeen = place + 1
  }

  private func checkEnd(_ session: SessionTruth, _ reason: String) {
    reasons[reason, default: 0] += 1
    guard session.reason == nil else { return world.fail("\(session.ownerName) ends twice: \(reason)") }
    session.reason = reason
    guard let due = session.upDue else {
      return world.fail("\(session.ownerName) is said to have ended (\(reason)), and is alive")
    }
    let missing = session.due(before: due).count
    let excused = min(mayMiss, missing)
    mayMiss -= excused
    if missing > excused {
      world.fail("the 0x01 of \(session.ownerName) (\(reason)) comes before \(missing - excused) of its packets")
    }
    checkReason(session, reason)
    checkFlushed(session)
  }

  // MARK: Addresses, and who is away

  /// A session has a connection: the backend is to be told from where.
  func noteAddress(_ session: SessionTruth, _ link: Link) {
    session.origins.append(link.truth.origin)
    session.keys += link.truth.addresses.map(\.key)
    guard world.plan.configuration.tellsAddresses else { return }
    let data = link.truth.origin.withUnsafeBytes { Fingerprint($0) }
    session.append(.address(data), turn: world.turns)
  }

  /// A session's client is away, or may have been within this turn.
  func noteAway(_ session: SessionTruth, isCertain: Bool) {
    guard mayTellAway else { return }
    // Where some settings say otherwise, the backend need not be told.
    session.append(.away, isLoose: !isCertain || !tellsAway, turn: world.turns)
  }

  /// The address follows a 0x03 directly.
  private func checkAddressFollows(_ packet: UpPacket) {
    guard let session = packet.link.truth.awaitsAddress else { return }
    packet.link.truth.awaitsAddress = nil
    if packet.flag != .address || packet.id != session.id {
      world.fail("the 0x03 of \(session.ownerName) is followed by '\(packet.flag)', and not by its address")
    }
  }

  // MARK: The list with which a connection begins

  /// Whether the packet belongs to the list. It names each session once, with its address and, if its client is away,
  /// a 0x04, where these are told.
  private func isInSweep(_ packet: UpPacket, _ session: SessionTruth) -> Bool {
    let link = packet.link
    switch packet.flag {
    case .reconnection where session.announcedOn != link.number:
      checkLastOfSweep(link)
      session.announcedOn = link.number
      session.announcedUpTo = session.up.count
      link.truth.sweep = SweepTruth(last: session)
      if session.reason != nil { world.fail("\(session.ownerName) is announced after its 0x01") }
      return true
    case .address:
      guard let sweep = link.truth.sweep, sweep.last === session, !sweep.hasAddress, !sweep.hasAway else { break }
      // An earlier one where it came back while the list was made.
      let mayBeOld = session.attachedIn >= link.truth.begunIn || session.up.count > session.upSeen
      if session.origins.last != packet.address, !mayBeOld || !session.origins.contains(packet.address) {
        world.fail("\(session.ownerName) is announced at an address where it never was")
      }
      link.truth.sweep?.hasAddress = true
      return true
    case .away:
      guard let sweep = link.truth.sweep, sweep.last === session, !sweep.hasAway else { break }
      // It may also be one of the packets that follow the list.
      let wasAway =
        session.isAway || session.lastAway >= link.truth.begunIn
        || session.up[session.upSeen...].contains { $0.packet == .away }
      if !wasAway { world.fail("\(session.ownerName) is announced as away, and is not") }
      link.truth.sweep?.hasAway = true
      return true
    case .reconnection, .data, .failure: break
    }
    endSweep(link)
    return false
  }

  /// The list is over.
  private func endSweep(_ link: Link) {
    checkLastOfSweep(link)
    link.truth.sweep = nil
  }

  private func checkLastOfSweep(_ link: Link) {
    guard let sweep = link.truth.sweep, let session = sweep.last else { return }
    if world.plan.configuration.tellsAddresses, !sweep.hasAddress {
      world.fail("\(session.ownerName) is announced without its address")
    }
    if tellsAway, !sweep.hasAway, session.isAway, session.awaySince < link.truth.begunIn {
      world.fail("\(session.ownerName) is announced as if it were there, and is away")
    }
  }
}
#endif
