#if TESTABLE
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
      let index = session.next.first { $0 < session.down.count && session.down[$0] == packet }
      guard let index else {
        return world.fail(
          "\(link.name) is sent a packet of \(packet.size) bytes, due was number \(session.next) of "
            + "\(session.down.count): \(describe(packet, session))")
      }
      session.next = session.next.compactMap {
        $0 < session.down.count && session.down[$0] == packet ? $0 + 1 : nil
      }
      session.dueSince = nil
      if link.finArrived { link.truth.sentAfterFin.append((index, entry.end, entry.knowsFin)) }
    }
  }

  private func describe(_ packet: Fingerprint, _ session: SessionTruth) -> String {
    if let index = session.down.lastIndex(of: packet) { return "it is its number \(index)" }
    for other in all where other.down.contains(packet) { return "it is one of \(other.ownerName)" }
    return "nobody was sent it"
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
