#if TESTABLE
import VoltlaneWire
@testable import Relay

/// Why sessions may end: each reason has a cause that is visible from outside.
extension Ledger {
  func checkReason(_ session: SessionTruth, _ reason: String) {
    if !isRight(reason, session) {
      world.fail("\(session.ownerName) ends with '\(reason)', for which there is no cause")
    }
    let owner = world.people.first { ObjectIdentifier($0) == session.owner }
    let isSpared = world.plan.isCalm || world.plan.isFair && owner?.isMischievous == false
    // At the end, connections are reset whose clients have not yet received their id: nobody can come back as them.
    let isAbandoned = !world.isHostile && reason == "stale timeout"
    if isSpared, !isAbandoned, reason != "kicked", reason != "relay draining" {
      world.fail("\(session.ownerName) ends with '\(reason)' where nothing goes wrong")
    }
  }

  /// All settings that may have been in effect when something happened: times and limits are judged by the smallest of
  /// each.
  var settings: [RelayConfiguration] { world.plan.reloads + [world.plan.configuration, world.configuration] }

  private func isRight(_ reason: String, _ session: SessionTruth) -> Bool {
    let ended = session.endedInside?.time ?? world.now
    switch reason {
    case "kicked":
      let wasMeant = kickedRanges.contains { range in session.keys.contains { range.contains($0) } }
      return session.kickRead || session.operatorKicked || wasMeant
    case "packet too large": return session.tooLargeSeen
    case "relay draining": return world.control.phase != .running || session.wasLetGo
    case "backend lost": return world.plan.losesWithBackend
    case "backend refused packet": return world[.packetsRefused] > 0
    case "rate limit":
      let truth = session.link.truth
      return settings.contains {
        $0.protection.ratePolicy == .end
          && ($0.protection.clientPacketRate.map { truth.packetsIn > $0.burst } ?? false
            || $0.protection.clientByteRate.map { truth.bytesIn > $0.burst } ?? false)
      }
    case "stale table full": return settings.contains { $0.maxStaleClients < session.staleAtEnd }
    case "packet timeout":
      guard let least = settings.compactMap(\.packetTimeout?.nanoseconds).min() else { return false }
      return session.unfinishedSince != .max && ended &+ 200_000_000 >= session.unfinishedSince &+ least
    case "memory": return isShortOfMemory
    case "buffer overflow":
      let least = settings.map { min($0.clientSendBuffer, $0.missedPacketsBuffer) }.min() ?? 0
      // After a FIN, what is not acknowledged waits too, including the whole of its first packet.
      let largest = world.plan.configuration.maxPacketSize + Wire.sizePrefix
      let kept = session.link.finArrived ? session.unacknowledgedAtEnd + largest : 0
      // Volatile packets wait only while they are few.
      let few = (settings.map { ($0.clientSendBuffer + 3) / 4 }.max() ?? 0) + largest
      let excess = max(0, session.volatileAtEnd - few)
      return session.waitingAtEnd - excess + kept >= least
    case "stale timeout":
      guard let least = settings.map(\.staleTimeout.nanoseconds).min(), least > 0 else { return true }
      // The socket is closed a little later than its session is found without one.
      return world.plan.odds.hostStalls.perMillion > 0 || session.link.closedAt == .max
        || ended &+ 200_000_000 >= min(session.link.closedAt, session.link.calledAt) &+ least
    case "idle timeout":
      guard let least = settings.compactMap(\.protection.idleTimeout?.nanoseconds).min() else { return false }
      return ended &+ 200_000_000 >= session.link.lastRead &+ least
    case "slow client":
      guard let least = settings.compactMap(\.protection.slowClientTimeout?.nanoseconds).min() else { return false }
      return session.waitingAtEnd > 0 && ended &+ 200_000_000 >= session.waitsSince &+ least
    default: return false
    }
  }

  private var isShortOfMemory: Bool {
    guard world.allocationFailures == 0, let door = world.door else { return true }
    let least = settings.map { min($0.protection.memoryBudget, $0.assemblyBudget, $0.missedPacketsTotal) }.min() ?? 0
    // A connection counts 8 KiB and what the kernel holds for it, which the allocator does not see.
    return mostHeld + 16_384 * world.descriptors.count + 4 * world.plan.bufferMost * world.plan.people >= least / 2
      || door.held() >= least / 2
  }
}
#endif
