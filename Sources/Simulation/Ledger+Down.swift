#if TESTABLE
import VoltlaneWire
@testable import Relay

/// The rule of the way down: a client is sent the handshake, and then its session's packets, in order.
extension Ledger {
  func checkDown(_ link: Link) {
    link.truth.isTouched = false
    let sent = link.truth.sentNow
    link.truth.sentNow.removeAll(keepingCapacity: true)
    for entry in sent {
      let packet = entry.packet
      let number = link.truth.packetsOut
      link.truth.packetsOut += 1
      if isHandshake(link, number, entry.first) { continue }
      guard let session = link.truth.session else {
        return world.fail("\(link.name) is sent a packet, and has no session")
      }
      guard let index = session.down.wasSent(packet, goodLink(session)) else {
        return world.fail(
          "\(link.name) is sent a packet of \(packet.size) bytes, due was number \(session.down.next) of "
            + "\(session.down.count): \(describe(packet, session))")
      }
      session.dueSince = nil
      if link.finArrived { link.truth.sentAfterFin.append((index, entry.end, entry.knowsFin)) }
    }
  }

  private func describe(_ packet: Fingerprint, _ session: SessionTruth) -> String {
    if let index = session.down.lastPlace(of: packet) { return "it is its number \(index)" }
    for other in all where other.down.lastPlace(of: packet) != nil { return "it is one of \(other.ownerName)" }
    return "nobody was sent it"
  }

  // MARK: What the backend sends

  func backendSent(_ packet: Fingerprint, to id: UInt64, isVolatile: Bool = false) {
    guard let session = sessions[id] else {
      if !isVolatile { strangers[id, default: (0, 0)].addressed += 1 }
      return
    }
    if !isVolatile { session.addressed += 1 }
    guard session.endedInside == nil, !session.kickRead else { return }
    if isServed(session) { session.waitsSince = world.now }
    session.down.append(packet, volatile: isVolatile ? volatility(session) : nil)
  }

  func backendKicked(_ id: UInt64) {
    guard let session = sessions[id] else {
      strangers[id, default: (0, 0)].addressed += 1
      return
    }
    session.addressed += 1
    if session.endedInside == nil { session.kickRead = true }
  }

  /// One packet for many clients is one for each of them; a malformed one is for nobody.
  func backendSentMulticast(_ data: UnsafeRawBufferPointer) {
    guard data.count >= Multicast.prefix else { return }
    let kind = data[0]
    guard kind == PacketFlag.data.rawValue || kind == ExtensionFlag.volatile.rawValue else { return }
    let count = Int(UInt32(littleEndian: data.loadUnaligned(fromByteOffset: 1, as: UInt32.self)))
    guard count <= Multicast.maxIDs, Multicast.prefix + Wire.clientID * count <= data.count else { return }
    let packet = UnsafeRawBufferPointer(rebasing: data[(Multicast.prefix + Wire.clientID * count)...])
    guard packet.count <= world.plan.configuration.maxPacketSize else { return }
    let print = Fingerprint(packet)
    for index in 0..<count {
      let offset = Multicast.prefix + Wire.clientID * index
      let id = UInt64(littleEndian: data.loadUnaligned(fromByteOffset: offset, as: UInt64.self))
      backendSent(print, to: id, isVolatile: kind != PacketFlag.data.rawValue)
    }
  }

  /// A client that is kicked by the backend, or let go, is sent what came before that, and then its FIN.
  func checkFlushed(_ session: SessionTruth) {
    guard let sent = session.sentAtFin, let reason = session.reason else { return }
    let due: Int
    switch reason {
    case "kicked" where session.kickRead && !session.operatorKicked && kickedRanges.isEmpty: due = session.down.count
    case "relay draining" where world.control.phase == .running: due = min(session.downAtLetGo, session.down.count)
    default: return
    }
    if sent < due { world.fail("\(session.ownerName) gets its FIN (\(reason)) behind packet \(sent) of \(due)") }
  }

  // MARK: Volatile packets

  /// A volatile packet has to arrive while less than a quarter of the client's buffer waits. What waits cannot be more
  /// than what the client has not been sent, and a few bytes of the relay's own.
  private func volatility(_ session: SessionTruth) -> DownTruth.Volatile {
    let isFull = session.down.waiting + Ledger.handshakeBytes >= volatileRoom
    let isLost = session.isAway || goodLink(session) == nil || world.allocationFailures > 0
    return DownTruth.Volatile(link: session.link.number, mayBeDropped: isFull || isLost)
  }

  /// The relay's key, an id or a challenge, and a ping.
  private static let handshakeBytes = 256

  /// The session's connection, if nothing has happened to it for which volatile packets may be dropped.
  private func goodLink(_ session: SessionTruth) -> Int? {
    session.link.looksAlive && !session.link.finArrived ? session.link.number : nil
  }

  /// Whether the client has been sent all that it has to be sent.
  func isServed(_ session: SessionTruth) -> Bool { session.down.isServed(goodLink(session)) }

  /// Where nothing is on its way to a shard, it has done what it does at once with all that was read for its clients.
  func noteHandledPackets() {
    guard !world.firehoseIsStalled else { return }
    for session in live where !world.hasPacketsUnderWay(session.shard) { session.down.settle(most: volatileMost) }
  }

  /// The relay's key; then an id, or a challenge and a ping.
  private func isHandshake(_ link: Link, _ number: Int, _ first: UInt8?) -> Bool {
    switch (number, link.truth.role) {
    case (0, _): return first == 2
    case (1, .newcomer): return first == 3
    case (1, .returner): return first == 4
    case (2, .returner): return first == 0
    default: return false
    }
  }
}
#endif
