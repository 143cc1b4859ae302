import Testing

@testable import Relay

/// The memory budget: who is refused near it, and who ends.
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

  @Test(arguments: [1, 2])
  func staleSessionsEndFirstThenTheSlowestReaders(shards: Int) throws {
    let scene = try scene(packets: 6, clients: 4, shards: shards)
    let last = shards - 1
    let (slowest, slow, small, large) = (scene.join(), scene.join(shard: last), scene.join(), scene.join(shard: last))
    for each in [slowest, slow] { each.socket.room = 0 }
    for each in [small, large] { goAway(scene, each) }
    scene.send(slowest.id, packet)
    scene.simulation.pass(Limits.second)
    scene.send(slow.id, packet)
    scene.send(small.id, packet)
    scene.send(large.id, packet)
    scene.send(large.id, packet)
    #expect(scene.next() == nil)
    scene.send(slow.id, packet)
    scene.send(slow.id, packet)
    // The one that holds most goes before the others, and no more than is needed.
    #expect(scene.next() == scene.failure(large.id, "memory"))
    #expect(scene.next() == nil)
    for _ in 0..<2 { scene.send(slow.id, packet) }
    #expect(scene.next() == scene.failure(small.id, "memory"))
    #expect(scene.next() == nil)
    scene.send(slow.id, packet)
    #expect(scene.next() == scene.failure(slowest.id, "memory"))
    #expect(scene.next() == nil)
    #expect(scene.simulation[.endedMemory] == 3)
    // What was queued for it is sent all the same.
    scene.simulation.allow(.max, slowest.socket)
    scene.simulation.settle()
    var client = slowest.client
    #expect(client.next() == packet)
    #expect(slowest.socket.relayFinished)
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
    // Who comes back is not new.
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
    let scene = try scene(packets: 1, clients: 1)
    let member = scene.join()
    // Nothing of it can end: it is neither stale nor slow.
    scene.simulation.write([0, 0x90, 2, 0] + packet, to: member.socket)
    scene.simulation.settle()
    let newcomer = scene.simulation.connect(shard: 0)
    scene.simulation.settle()
    #expect(newcomer.relayClosed && newcomer.outgoing.isEmpty)
    #expect(scene.simulation[.refusedMemory] == 1)
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
