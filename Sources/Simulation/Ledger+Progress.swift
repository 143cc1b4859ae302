#if TESTABLE
@testable import Relay

/// The relay continues by itself, and no client waits for another.
extension Ledger {
  /// Every host sleeps, and nothing is under way that would wake one: whoever is still waiting was forgotten. Checked
  /// only while nothing goes wrong, so that nobody has a reason to wait.
  func checkAsleep() {
    if world.isSettling { checkMoves() }
    guard world.plan.isCalm || world.isSettling, world.control.phase == .running, world[.backendConnections] > 0,
      // Nothing is sent while the backend's connection is on probation.
      let backend = world.backend.link, backend.sent > 0, backend.looksAlive, backend.isWritable
    else { return }
    settleTouched()
    guard backend.arrived.isEmpty else {
      return world.fail("every host sleeps, and \(backend.arrived.count) bytes of the backend wait to be read")
    }
    for session in live where session.endedInside == nil {
      if !session.unseen.isEmpty, mayMiss == 0 {
        return world.fail("every host sleeps, and packets of \(session.ownerName) wait to be sent")
      }
    }
    for case let link? in world.descriptors where link !== backend && !link.arrived.isEmpty && link.error == 0 {
      // A client that has not yet taken what is waiting for it is not read meanwhile.
      if let session = link.truth.session, !isServed(session) { continue }
      let state = world.describe(link.descriptor)
      return world.fail(
        "every host sleeps, and \(link.arrived.count) bytes of \(link.name) wait to be read: \(state)")
    }
    checkHandshakes()
    for session in live where session.endedInside == nil && session.link.looksAlive && session.link.isWritable {
      guard session.link.truth.session === session, !session.link.finArrived else { continue }
      if !isServed(session) {
        return world.fail("every host sleeps, and packets wait for \(session.ownerName)")
      }
    }
  }

  /// Every host sleeps: a role that is still on its way would never arrive.
  private func checkMoves() {
    for role in world.parts.table.whereabouts where role.host != role.wanted && world.control.phase == .running {
      world.fail("every host sleeps, and a role is kept from going from \(role.host) to \(role.wanted)")
    }
  }

  /// Every host sleeps: whoever has said all that a step of the handshake takes has its answer.
  private func checkHandshakes() {
    for case let link? in world.descriptors where link.looksAlive && !link.relayFinished && link.isWritable {
      guard link.truth.session == nil, !link.truth.isSuperseded, !link.finArrived else { continue }
      let due: Int
      switch (link.truth.role, link.truth.packetsIn) {
      case (.backend, _), (_, 0): due = 0
      case (.newcomer, 2...), (.returner, 2...3): due = 2
      case (.returner, 4...): due = 3
      default: due = 1
      }
      if link.truth.packetsOut < due {
        return world.fail("every host sleeps, and \(link.name) waits for an answer: \(world.describe(link.descriptor))")
      }
    }
  }

  /// What the relay has read for a client is sent within a few turns of the hosts that have it, as long as its socket
  /// takes it, whatever is sent to others and whatever they do with it.
  func checkFairnessDown() {
    guard world.control.phase == .running else { return }
    let firehose = world.firehoseTurns
    for session in live where session.endedInside == nil {
      let link = session.link
      guard link.truth.session === session, link.looksAlive, !link.finArrived, link.isWritable, !isServed(session)
      else {
        session.dueSince = nil
        continue
      }
      let shard = world.turns(ofShard: session.shard)
      guard let since = session.dueSince else {
        session.dueSince = (shard, firehose)
        continue
      }
      let turns = min(shard - since.shard, firehose - since.firehose)
      mostDue = max(mostDue, turns)
      // A turn sends half a megabyte, and a few turns are needed to find out that there is room.
      let bound = 4 + world.plan.people
      if turns > bound { world.fail("\(link.name) is sent nothing for \(turns) turns; \(bound) are enough") }
    }
  }

  /// A connection of a client ended in the handshake. In a fair world nothing breaks connections, and every client that
  /// keeps the rules is let in, or back to its session while that lives, unless another connection of its own was
  /// first.
  func wasTurnedAway(_ link: Link, claim: UInt64?, openedAt: UInt64) {
    guard world.plan.isFair, world.control.phase == .running else { return }
    if let claim {
      guard let session = sessions[claim], session.endedInside == nil, session.attachedAt < openedAt else { return }
    }
    world.fail("\(link.name) keeps the rules and is turned away")
  }

  /// A client was read after it had waited for that many turns of its shard, all of which had room for its packets.
  func checkFairness(_ link: Link, waited turns: Int) {
    guard world.plan.isFair, link.truth.session != nil else { return }
    mostWaited = max(mostWaited, turns)
    // A turn reads half a megabyte, at most a quarter of it from one client, and a few turns are needed to find out.
    let bound = 4 + world.plan.people
    if turns > bound { world.fail("\(link.name) waited for \(turns) turns to be read; \(bound) are enough") }
  }
}
#endif
