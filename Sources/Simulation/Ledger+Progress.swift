#if TESTABLE
@testable import Relay

/// That the relay goes on by itself, and lets nobody wait for somebody else.
extension Ledger {
  /// Every host sleeps, and nothing is under way that would wake one: whoever waits now was forgotten. Looked at where
  /// nothing goes wrong, and so nobody has a reason to wait.
  func checkAsleep() {
    guard world.plan.isCalm || world.isSettling, world.control.phase == .running, world[.backendConnections] > 0,
      // Nothing is handed over while the backend's connection is on probation.
      let backend = world.backend.link, backend.sent > 0, backend.looksAlive, backend.isWritable,
      backend.arrived.isEmpty
    else { return }
    for case let link? in world.descriptors where link !== backend && !link.arrived.isEmpty && link.error == 0 {
      // A client that has yet to take what waits for it is not read meanwhile.
      if let session = link.truth.session, !session.next.contains(session.down.count) { continue }
      let state = world.hosts.compactMap { $0.describe(link.descriptor) }.joined(separator: "; ")
      return world.fail(
        "every host sleeps, and \(link.arrived.count) bytes of \(link.name) wait to be read: \(state)")
    }
    for session in live where session.endedInside == nil && session.link.looksAlive && session.link.isWritable {
      guard session.link.truth.session === session, !session.link.finArrived else { continue }
      if !session.next.contains(session.down.count) {
        return world.fail("every host sleeps, and packets wait for \(session.ownerName)")
      }
    }
  }

  /// A client was read that had waited for so many turns of its shard, all of which had room for what it says.
  func checkFairness(_ link: Link, waited turns: Int) {
    guard world.plan.isFair, link.truth.session != nil else { return }
    mostWaited = max(mostWaited, turns)
    // A turn reads half a megabyte, a quarter of one client at most; and some turns are needed to find out.
    let bound = 4 + world.plan.people
    if turns > bound { world.fail("\(link.name) waited for \(turns) turns to be read; \(bound) are enough") }
  }
}
#endif
