#if TESTABLE
@testable import Relay

/// What has to be true once nothing goes wrong any more.
extension Ledger {
  /// An orderly close in place of a challenge told a client that its session is over.
  func isToldOver(_ id: UInt64, _ link: Link) {
    guard let session = sessions[id], session.endedInside == nil, world.control.phase == .running else { return }
    world.fail("\(link.name) is told that the session of \(session.ownerName) is over, and it lives")
  }

  /// Everything that was under way has arrived.
  func checkSettled() {
    if !world.controller.hasAllAnswers { world.fail("the operator was not answered") }
    for listener in world.listeners where !listener.isClosed {
      // A pause for want of descriptors may just have begun.
      let isPaused = listener.cancelledAt.map { world.now - $0 <= Limits.acceptPauseLast } ?? false
      if listener.armed == nil, !isPaused { world.fail("nobody accepts on \(listener.descriptor) any more") }
      if !listener.shunned.isEmpty { world.fail("\(listener.descriptor) is still deaf to \(listener.shunned)") }
    }
    for session in live where session.endedInside == nil {
      if session.kickRead {
        world.fail("\(session.ownerName) was kicked, and its session lives")
      }
      if let time = session.letGo, time > world.acceptedAgainAt, session.attachedAt <= time, !session.link.finArrived {
        world.fail("\(session.ownerName) was let go, and its session lives")
      }
      let unseen = session.unseen
      if !unseen.isEmpty {
        world.fail(
          "of \(session.ownerName) \(unseen.count) packets have not reached the backend, of \(session.up.count)")
      }
      guard let person = world.people.first(where: { ObjectIdentifier($0) == session.owner }), person.id == session.id,
        // If the relay's kernel has given up a connection, the client may not know.
        let link = person.link, link.truth.session === session, link.error == 0
      else { continue }
      if link.unsentByPeer > 0 || !link.arrived.isEmpty {
        world.fail(
          "\(session.ownerName) is not read: \(link.arrived.count) bytes wait, and \(link.unsentByPeer) behind")
      }
      if !isServed(session) {
        world.fail("\(session.ownerName) was sent up to \(session.down.next), the backend sent \(session.down.count)")
      }
    }
    if world.plan.isCalm {
      if world[.clientsRefused] > 0 {
        world.fail("\(world[.clientsRefused]) clients were refused, and nothing went wrong")
      }
      let sent = all.reduce(0) { $0 + $1.up.count + ($1.reason == nil ? 0 : 1) }
      // A client that was still in the handshake at the end was reset, and what it had already sent may be lost with
      // that.
      let lost = all.reduce(0) { sum, session in
        sum + session.up.count { $0.isLoose && (!session.link.looksAlive || $0.packet.isOfRelay) }
      }
      if !(sent - lost...sent).contains(world.backend.packetsReceived) {
        world.fail("the backend has \(world.backend.packetsReceived) packets of \(sent), and nothing went wrong")
      }
    }
    for session in all where session.endedInside != nil && session.reason == nil {
      if world[.packetsRefused] == 0 { world.fail("the backend was not told of the end of \(session.ownerName)") }
    }
  }

  /// The relay has ended.
  func checkDrained() {
    for session in all where session.reason == nil && world[.packetsRefused] == 0 {
      world.fail("the backend was not told of the end of \(session.ownerName)")
    }
    let done = world.control.rolesDone
    if done != world.parts.table.whereabouts.count { world.fail("\(done) roles are done") }
    checkNothingIsHeld()
  }

  /// Everybody has left, and was kicked.
  func checkEmpty() {
    checkNothingIsHeld()
  }

  private func checkNothingIsHeld() {
    checkMemory()
    if let door = world.door, world.failure == nil, live.isEmpty, door.held() - world.heldAtStart > Ledger.roleBytes {
      world.fail("\(door.held() - world.heldAtStart) bytes of the allocator's were not given back")
    }
    let parts = world.parts
    if world.failure == nil, parts.memory.held != 0, live.isEmpty {
      world.fail("\(parts.memory.held) bytes are counted for nobody")
    }
  }
}

extension World {
  func endStalls() {
    for index in hostStates.indices { hostStates[index].stalledUntil = 0 }
  }
}
#endif
