import Testing
import VoltlaneCrypto

@testable import Relay

/// The table of a connection's phases, and the checks of the lists that hang on them: what they are for is found.
@Suite struct InvariantTests {
  private static let phases = (0...UInt8.max).compactMap(Connection.Phase.init)

  /// Phases that can follow one another, however many steps it takes.
  private func reachable(from start: Connection.Phase) -> Set<Connection.Phase> {
    var found: Set<Connection.Phase> = []
    var next = [start]
    while let phase = next.popLast() {
      for other in Self.phases where phase.canBecome(other) && found.insert(other).inserted { next.append(other) }
    }
    return found
  }

  @Test func `every phase is reached, and each leads back to a free slot`() {
    #expect(Self.phases.count == 14)
    #expect(reachable(from: .free) == Set(Self.phases))
    for phase in Self.phases { #expect(reachable(from: phase).contains(.free), "\(phase)") }
  }

  @Test func `a client is attached only after its key or its ping`() {
    let before = Self.phases.filter { $0.canBecome(.attached) }
    #expect(before == [.verifying, .returning])
    #expect(Self.phases.filter { $0.canBecome(.returning) } == [.ping])
    // What has no socket gets none: the slot becomes free first.
    #expect(Self.phases.filter { Connection.Phase.released.canBecome($0) } == [.free])
    for phase in Self.phases { #expect(!phase.canBecome(phase), "\(phase)") }
  }

  /// Connections in a table, as many as asked for.
  private func table(_ count: Int32) throws -> ConnectionTable {
    var connections = try ConnectionTable()
    for socket in 0..<count { _ = connections.add(socket, at: 0) }
    return connections
  }

  @Test func `a list whose links are broken is found`() throws {
    let connections = try table(3)
    var list = ReadyList(.clients)
    for index in 0..<3 as Range<UInt32> { list.append(index, connections) }
    try list.checkInvariants(connections)
    connections[1].list = .others
    #expect(throws: InvariantViolation.self) { try list.checkInvariants(connections) }
    connections[1].list = .clients
    connections[2].readyPlace = 0
    #expect(throws: InvariantViolation.self) { try list.checkInvariants(connections) }
  }

  @Test func `a connection leaves the queue that it is in, from any place`() throws {
    for leaving in 0..<3 as Range<UInt32> {
      let connections = try table(3)
      var queues = ConnectionQueues()
      for index in 0..<3 as Range<UInt32> { queues.move(index, to: .silent, connections) }
      queues.move(leaving, to: .halfway, connections)
      #expect(queues.halfway.first == leaving)
      #expect(queues.silent.first == (leaving == 0 ? 1 : 0))
      let found = try queues.checkInvariants(connections)
      #expect(found == 3)
      connections[leaving].queue = .silent
      #expect(throws: InvariantViolation.self) { try queues.checkInvariants(connections) }
    }
  }

  @Test func `a connection that is not in the wheel where it says is found`() throws {
    let connections = try table(2)
    var wheel = TimerWheel(now: 0)
    wheel.arm(0, at: Limits.second, connections)
    wheel.arm(1, at: 2 * Limits.second, connections)
    let found = try wheel.checkInvariants(connections)
    #expect(found == 2)
    let isInTime = wheel.isArmed(connections[1].timer, for: 2 * Limits.second)
    let isLate = !wheel.isArmed(connections[1].timer, for: 0)
    #expect(isInTime && isLate)
    connections[1].timer.tick += 1
    #expect(throws: InvariantViolation.self) { try wheel.checkInvariants(connections) }
  }

  @Test func `a connection that waits for a send and is not listed, or is listed twice, is found`() throws {
    let connections = try table(2)
    var sends = TurnSends(.forTests)
    try sends.checkInvariants(connections)
    sends.list.append(0)
    #expect(throws: InvariantViolation.self) { try sends.checkInvariants(connections) }
    sends.queued()
    connections[0].flags.insert(.sending)
    try sends.checkInvariants(connections)
    connections[1].flags.insert(.sending)
    #expect(throws: InvariantViolation.self) { try sends.checkInvariants(connections) }
    connections[1].flags.remove(.sending)
    sends.list.append(0)
    #expect(throws: InvariantViolation.self) { try sends.checkInvariants(connections) }
  }

  @Test func `an attempt on another session, or in the wrong place of its list, is found`() throws {
    var attempt = Attempt(slot: 3, id: 7, plain: SealedBox.Plain(repeating: 0), nonce: SealedBox.Nonce(repeating: 0))
    attempt.challengedSince = 5
    try attempt.checkInvariants(on: 3, 7, after: .none, now: 5)
    #expect(throws: InvariantViolation.self) { try attempt.checkInvariants(on: 2, 7, after: .none, now: 5) }
    #expect(throws: InvariantViolation.self) { try attempt.checkInvariants(on: 3, 8, after: .none, now: 5) }
    #expect(throws: InvariantViolation.self) { try attempt.checkInvariants(on: 3, 7, after: 1, now: 5) }
    #expect(throws: InvariantViolation.self) { try attempt.checkInvariants(on: 3, 7, after: .none, now: 4) }
  }

  @Test func `a socket that a shard hands over to itself is found`() throws {
    let arena = Arena.forTests
    let lanes = (0..<2).map { _ in RecordLane<HandedSocket>(arena, capacity: 4) }
    var peers = Peers(
      FixedArray(count: 2) { peer in
        ShardPeer(
          outgoing: RecordProducer(lanes[peer]), incoming: RecordConsumer(lanes[1 - peer]),
          bell: RoleBell(arena, HostBells(arena, hosts: 1), host: 0))
      }, shard: 0)
    peers.handOver(HandedSocket(new: 3), to: 1)
    try peers.checkInvariants()
    peers.handOver(HandedSocket(new: 4), to: 0)
    #expect(throws: InvariantViolation.self) { try peers.checkInvariants() }
  }

  @Test func `memory that is listed in the wrong place is found`() throws {
    let connections = try table(1)
    var holders = LargestHolders<WaitingBytes>()
    connections[0].charged = 1000
    holders.update(0, connections.slots)
    try holders.checkInvariants(connections.slots, used: connections.used)
    connections[0].charged = 100_000
    #expect(throws: InvariantViolation.self) {
      try holders.checkInvariants(connections.slots, used: connections.used)
    }
  }
}
