#if TESTABLE
import VoltlaneWire

@testable import Relay

/// What the relay holds for its clients, measured by the allocator.
extension Ledger {
  /// What the relay counts for its clients is what they hold; that is what the allocator has provided; and it is within
  /// the limits promised for one client and for the whole relay.
  func checkMemory() {
    var counts = CountedMemory()
    var held = HeldMemoryTruth()
    for number in 0..<world.configuration.shards {
      let shard = world.shard(number)
      shard.role.countMemory(into: &counts)
      held.add(shard.role)
    }
    let parts = world.parts
    let counted = CountedMemory(
      waiting: parts.memory.waitingBytes, leaving: parts.memory.leavingBytes, missed: parts.missedBudget.charged,
      unfinished: parts.budget.charged, stale: parts.staleTotals.count)
    if counted != counts { return world.fail("counted is \(counted), held is \(counts)") }
    if held.mostOfOne > clientBound {
      return world.fail("\(held.mostOfOne) bytes wait for one client, \(clientBound) are promised")
    }
    guard let door = world.door else { return }
    let real = door.held() - world.heldAtStart
    mostHeld = max(mostHeld, real)
    if real > held.bytes + laneBytes + Ledger.roleBytes {
      return world.fail("the relay has \(real) bytes of the allocator, and \(held.bytes) for clients that it knows of")
    }
    if real > world.greatestBudget + turnBytes {
      world.fail("the relay has \(real) bytes of the allocator, its budget is \(world.greatestBudget)")
    }
  }

  /// Twice --client-send-buffer and two packets; missed packets have a limit of their own.
  private var clientBound: Int {
    let buffer = settings.map { max($0.clientSendBuffer, $0.missedPacketsBuffer) }.max() ?? 0
    return 2 * buffer + 2 * (Wire.sizePrefix + world.plan.configuration.maxPacketSize)
  }

  /// Packets that cross the lanes as references no longer count as unfinished.
  private var laneBytes: Int {
    let largest = world.plan.configuration.maxPacketSize
    guard largest > Limits.largestCopied else { return 0 }
    return world.configuration.shards * (2 * Limits.uplinkReferencedBytes + 4 * largest)
  }

  /// What one turn of each shard can add before anybody is evicted.
  private var turnBytes: Int {
    world.configuration.shards * (2 * Limits.gather + 2 * Limits.readsPerTurn + Limits.pendingPerTurn)
      + laneBytes + Ledger.roleBytes
  }

  /// The roles' own memory: lists that have grown.
  static let roleBytes = 64 * Limits.kibi
}

/// What is held for clients, by structure, including the allocator's overhead for each.
struct HeldMemoryTruth {
  var bytes = 0
  /// Bytes of packets that wait for one client.
  var mostOfOne = 0

  mutating func add(_ block: Int) { bytes += block + 40 }
}

extension World {
  var greatestBudget: Int { (plan.reloads + [plan.configuration]).map(\.protection.memoryBudget).max() ?? 0 }
}

extension HeldMemoryTruth {
  mutating func add(_ shard: borrowing Shard<SimulatedKernel>) {
    for index in 0..<shard.connections.used where shard.connections[index].phase != .free {
      let connection = shard.connections[index]
      bytes += connection.pending.memory
      // What a turn had for a client before its close was decided is sent all the same.
      let closing = connection.phase == .closing ? Limits.gather : 0
      mostOfOne = max(mostOfOne, connection.pending.count - closing)
      if let unfinished = connection.unfinished { add(Int(unfinished.capacity)) }
      if connection.attempt != nil { add(MemoryLayout<Attempt>.size) }
      // A worker may have its session's key.
      add(Limits.sessionKeyObject)
    }
    for slot in 0..<shard.sessions.used where shard.sessions[slot].state != .free {
      let session = shard.sessions[slot]
      bytes += session.missed.memory
      if session.missed.count > mostOfOne { mostOfOne = session.missed.count }
      if session.sessionKey != nil { add(Limits.sessionKeyObject) }
      // Its 0x03 in a sweep.
      bytes += 2 * (Wire.sizePrefix + Wire.tag)
    }
  }
}
#endif
