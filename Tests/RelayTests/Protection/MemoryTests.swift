import Testing
import VoltlaneWire

@testable import Relay

/// The memory budget: which clients are refused near it, and which end.
@Suite struct MemoryTests {
  /// A budget for that many packets of 100 KiB beside what the clients count.
  private func scene(packets: Int, clients: Int, shards: Int = 1) throws -> SessionScene {
    let scene = try SessionScene(shards: shards) {
      $0.protection.memoryBudget = (packets * 100 * 1024 + clients * Limits.connectionMemory) * 100 / 95
      $0.missedPacketsBuffer = 1 << 20
      $0.protection.slowClientTimeout = nil
    }
    scene.simulation.roughness = 0
    return scene
  }

  private let packet = [UInt8](repeating: 1, count: 100 * 1024)

  private func goAway(_ scene: SessionScene, _ member: SessionScene.Member) {
    scene.simulation.reset(member.socket)
    scene.simulation.settle()
  }

  /// The client that holds most ends first, attached or stale, on whatever shard, and no more end than have to.
  @Test(arguments: [1, 2], [false, true])
  func theLargestHolderEndsFirst(shards: Int, isAttached: Bool) throws {
    let scene = try scene(packets: 12, clients: 4, shards: shards)
    let last = shards - 1
    let (one, other, small, large) = (scene.join(), scene.join(shard: last), scene.join(), scene.join(shard: last))
    for each in [one, other] { each.socket.room = 0 }
    goAway(scene, small)
    if isAttached { large.socket.room = 0 } else { goAway(scene, large) }
    for each in [one, other, small] { scene.send(each.id, packet) }
    for _ in 0..<6 { scene.send(large.id, packet) }
    #expect(scene.next() == nil)
    for each in [one, other] { scene.send(each.id, packet) }
    for each in [one, other] where scene.simulation[.endedMemory] == 0 { scene.send(each.id, packet) }
    #expect(scene.next() == scene.failure(large.id, "memory"))
    #expect(scene.next() == nil)
    #expect(scene.simulation[.endedMemory] == 1)
    guard isAttached else { return }
    // What was queued for it would stay for as long as a close may take: it is given up.
    #expect(large.socket.relayReset && large.socket.relayClosed)
    #expect(scene.simulation.parts.memory.leavingBytes == 0)
  }

  /// Attempts to come back whose challenges the workers have not sealed hold memory too, and are not waited for.
  @Test func attemptsThatWaitForAWorkerAreDropped() throws {
    let scene = try SessionScene(shards: 1) { $0.protection.memoryBudget = 1 << 20 }
    scene.simulation.roughness = 0
    let members = (0..<10).map { _ in scene.join() }
    for member in members { goAway(scene, member) }
    scene.simulation.holdWorkers = true
    for member in members {
      let socket = scene.simulation.connect(shard: 0)
      scene.simulation.write(
        FramedHandshakePacket.protocolVersion().bytes + FramedHandshakePacket.clientID(member.id).bytes + packet,
        to: socket)
    }
    scene.simulation.pass(3 * Limits.second)
    #expect(scene.simulation[.refusedMemory] > 0)
    #expect(scene.simulation.parts.memory.held < 1 << 20)
    scene.simulation.holdWorkers = false
    scene.simulation.settle()
    // Nobody's session has ended for that.
    #expect(scene.simulation[.endedMemory] == 0)
    _ = scene.comeBack(members[0].id)
    #expect(scene.simulation[.reconnections] == 1)
  }

  /// Sessions that hold nothing but themselves end last.
  @Test func whoHoldsNothingEndsLast() throws {
    let scene = try scene(packets: 4, clients: 3)
    let (idle, hoarder) = (scene.join(), scene.join())
    goAway(scene, idle)
    for _ in 0..<3 {
      hoarder.socket.room = 0
      for _ in 0..<5 where scene.simulation[.endedMemory] == 0 { scene.send(hoarder.id, packet) }
    }
    #expect(scene.next() == scene.failure(hoarder.id, "memory"))
    #expect(scene.simulation[.endedMemory] == 1)
    scene.send(idle.id, [1])
    _ = scene.comeBack(idle.id)
    while let packet = scene.next() { #expect(packet != scene.failure(idle.id, "memory")) }
  }

  /// What the kernel holds of clients that the relay cannot read, because the backend takes nothing, counts as theirs:
  /// nobody new is let in, and in the end the largest go.
  @Test func whatTheKernelHoldsCounts() throws {
    let scene = try SessionScene(shards: 1) { $0.protection.memoryBudget = 6 << 20 }
    scene.simulation.roughness = 0
    scene.backend.socket.room = 0
    let members = (0..<25).map { _ in scene.join() }
    let piece = [0, 0, 1, 0] + [UInt8](repeating: 7, count: 1 << 16)
    // Fills what the relay takes, and then the sockets.
    for round in 0..<60 where scene.simulation[.endedMemory] == 0 {
      for member in members where !member.socket.relayFinished && member.socket.available < 1 << 18 {
        scene.simulation.write(piece, to: member.socket)
      }
      scene.simulation.pass(Limits.second)
      if round == 59 { Issue.record("nobody ended") }
    }
    #expect(scene.simulation[.endedMemory] > 0)
    #expect(!admitsStranger(scene))
    #expect(scene.simulation[.refusedMemory] == 1)
    #expect(scene.simulation.parts.memory.used < 6 << 20)
    // Once the backend reads, everything is taken, and strangers get in.
    scene.simulation.allow(.max, scene.backend.socket)
    scene.simulation.pass(10 * Limits.second)
    #expect(admitsStranger(scene))
  }

  /// Whether a stranger becomes a client.
  private func admitsStranger(_ scene: SessionScene) -> Bool {
    let before = scene.simulation[.sessionsStarted]
    let stranger = scene.simulation.connect(shard: 0)
    scene.simulation.write(SimulatedClient.hello, to: stranger)
    scene.simulation.settle()
    let isAdmitted = scene.simulation[.sessionsStarted] == before + 1
    #expect(isAdmitted != stranger.relayClosed)
    return isAdmitted
  }

  @Test func nearTheBudgetNobodyNewIsLetIn() throws {
    let scene = try scene(packets: 10, clients: 1)
    let (slow, owner) = (scene.join(), scene.join())
    slow.socket.room = 0
    goAway(scene, owner)
    for _ in 0..<9 { scene.send(slow.id, packet) }
    #expect(!admitsStranger(scene))
    #expect(scene.simulation[.refusedMemory] == 1)
    // A client that comes back is not new.
    _ = scene.comeBack(owner.id)
    #expect(scene.next() == scene.reconnection(owner.id))
    // What is still sent to one that ends is there still.
    scene.send(slow.id, [], .kick)
    #expect(scene.next() == scene.failure(slow.id, "kicked"))
    #expect(!admitsStranger(scene))
    #expect(scene.simulation[.endedMemory] == 0)
    scene.simulation.allow(.max, slow.socket)
    scene.simulation.settle()
    #expect(admitsStranger(scene))
    #expect(scene.next() == nil)
  }

  @Test func atTheBudgetNobodyIsLetIn() throws {
    let scene = try scene(packets: 0, clients: 4)
    // Nothing of them can end: they are neither stale, nor does anything wait for them.
    let members = (0..<3).map { _ in scene.join() }
    _ = scene.simulation.connect(shard: 0)
    let newcomer = scene.simulation.connect(shard: 0)
    scene.simulation.settle()
    #expect(newcomer.relayClosed && newcomer.outgoing.isEmpty)
    #expect(scene.simulation[.refusedMemory] == 1)
    #expect(members.allSatisfy { !$0.socket.relayFinished })
  }

  /// A packet that has come in part counts as well, and the client that holds most of those ends.
  @Test func theLargestUnfinishedPacketEnds() throws {
    let scene = try scene(packets: 1, clients: 2)
    let (small, large) = (scene.join(), scene.join())
    scene.simulation.write([0, 0x90, 2, 0] + packet.prefix(1000), to: small.socket)
    scene.simulation.write([0, 0x90, 2, 0] + packet, to: large.socket)
    scene.simulation.settle()
    #expect(scene.next() == scene.failure(large.id, "memory"))
    #expect(scene.next() == nil)
    #expect(!small.socket.relayFinished)
  }

  /// After all the ways in which what waits for a client comes and goes, nothing is left in the gauge.
  @Test(arguments: 1...4 as ClosedRange<UInt64>)
  func nothingStaysCounted(seed: UInt64) throws {
    let scene = try SessionScene(seed: seed) { $0.staleTimeout = .seconds(30) }
    var random = SeededRandom(seed: seed)
    for round in 0..<40 {
      let member = scene.join(shard: random.below(2))
      member.socket.room = random.below(3000)
      for _ in 0..<random.below(6) { scene.send(member.id, [UInt8](repeating: 2, count: random.below(2000))) }
      switch round % 6 {
      case 0: scene.send(member.id, [], .kick)
      case 1: scene.simulation.reset(member.socket)
      case 2: scene.simulation.finish(member.socket)
      case 3: _ = scene.comeBack(member.id, shard: random.below(2))
      case 4: scene.simulation.allow(.max, member.socket)
      default: break
      }
      scene.simulation.settle()
    }
    #expect(scene.simulation.parts.memory.used > 0)
    scene.restartBackend()
    scene.simulation.drain()
    scene.simulation.settle(for: 60 * Limits.second)
    #expect(scene.simulation.parts.memory.held == 0)
  }
}
