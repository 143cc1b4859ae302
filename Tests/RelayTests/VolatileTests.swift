import Testing
import VoltlaneWire

@testable import Relay

/// A volatile packet ends nobody: not by itself, and not by what it adds to the packets that may.
@Suite struct VolatileTests {
  private func packet(_ size: Int, _ number: Int = 0) -> [UInt8] {
    [UInt8](repeating: UInt8(truncatingIfNeeded: number), count: size)
  }

  private func reasons(_ scene: SessionScene) -> [String] {
    var reasons: [String] = []
    while let packet = scene.next() {
      if packet.flag == .failure { reasons.append(String(decoding: packet.data, as: UTF8.self)) }
    }
    return reasons
  }

  /// One that is larger than all that may wait leaves the others their room.
  @Test func takesNoRoomFromOthers() throws {
    let scene = try SessionScene { $0.clientSendBuffer = 400 }
    scene.simulation.roughness = 0
    var member = scene.join()
    member.socket.room = 0
    scene.send(member.id, packet(20, 1))
    scene.send(member.id, packet(1000, 2), .volatile)
    // 24 bytes each: with the last, which is the first that finds 400 waiting, the client ends.
    for number in 3..<19 { scene.send(member.id, packet(20, number)) }
    #expect(reasons(scene) == [])
    scene.simulation.allow(.max, member.socket)
    scene.simulation.settle()
    #expect(member.client.next() == packet(20, 1))
    #expect(member.client.next() == packet(1000, 2))
    for number in 3..<19 { #expect(member.client.next() == packet(20, number)) }
    member.socket.room = 0
    scene.send(member.id, packet(1), .volatile)
    for _ in 0..<18 { scene.send(member.id, packet(20)) }
    #expect(reasons(scene).first == "buffer overflow")
  }

  /// A client that takes nothing is slow from the first other packet on that waits for it.
  @Test func makesNobodySlow() throws {
    let scene = try SessionScene { $0.protection.slowClientTimeout = .seconds(10) }
    scene.simulation.roughness = 0
    let member = scene.join()
    // One that is begun is no other matter.
    member.socket.room = 3
    scene.send(member.id, packet(10), .volatile)
    scene.send(member.id, packet(10), .volatile)
    scene.simulation.pass(35 * Limits.second)
    scene.send(member.id, packet(1))
    scene.simulation.pass(9 * Limits.second)
    #expect(reasons(scene) == [])
    scene.simulation.pass(2 * Limits.second)
    #expect(reasons(scene) == ["slow client"])
  }

  /// A client that has taken all but volatile packets is not slow.
  @Test func leavesNobodySlow() throws {
    let scene = try SessionScene { $0.protection.slowClientTimeout = .seconds(10) }
    scene.simulation.roughness = 0
    let member = scene.join()
    member.socket.room = 0
    scene.send(member.id, packet(10))
    scene.send(member.id, packet(10), .volatile)
    scene.simulation.pass(5 * Limits.second)
    scene.simulation.allow(14, member.socket)
    scene.simulation.pass(60 * Limits.second)
    #expect(reasons(scene) == [])
  }

  /// Where memory becomes short, volatile packets go first, those of all shards.
  @Test func makesRoomForOthers() throws {
    let budget = 8 << 20
    let scene = try SessionScene { $0.protection.memoryBudget = budget }
    scene.simulation.roughness = 0
    let members = (0..<8).map { scene.join(shard: $0 % 2) }
    let size = 200 << 10
    // The first of each is begun, and is delivered.
    for member in members { member.socket.room = 100 }
    for _ in 0..<4 { for member in members { scene.send(member.id, packet(size, 1), .volatile) } }
    #expect(scene.simulation[.volatileDropped] == 0)
    // With these it is more than the budget.
    for _ in 0..<3 { for member in members { scene.send(member.id, packet(size, 2)) } }
    #expect(reasons(scene) == [])
    #expect(scene.simulation[.volatileDropped] == 24 && scene.simulation[.endedMemory] == 0)
    for var member in members {
      scene.simulation.allow(.max, member.socket)
      scene.simulation.settle()
      #expect(member.client.next() == packet(size, 1))
      for _ in 0..<3 { #expect(member.client.next() == packet(size, 2)) }
      #expect(member.client.next() == nil)
    }
  }

  /// A half-closed client costs two calls a turn, one of which asks what it has acknowledged, however many packets it
  /// is sent.
  @Test(arguments: [SimulatedBackend.Flag.data, .volatile])
  func aHalfClosedClientIsSentToOnceATurn(kind: SimulatedBackend.Flag) throws {
    let scene = try SessionScene()
    scene.simulation.roughness = 0
    var member = scene.join()
    scene.simulation.finish(member.socket)
    scene.simulation.settle()
    let before = member.socket.calls
    let packets = (0..<100).flatMap { SimulatedBackend.packet(member.id, kind, packet(10, $0)) }
    scene.simulation.write(packets, to: scene.backend.socket)
    scene.simulation.settle()
    for number in 0..<100 { #expect(member.client.next() == packet(10, number)) }
    #expect(member.socket.calls - before <= 10)
    // What ends it goes behind them.
    scene.send(member.id, packet(10, 7), kind)
    scene.send(member.id, [], .kick)
    #expect(member.client.next() == packet(10, 7))
    #expect(reasons(scene) == ["kicked"] && member.socket.relayFinished)
  }
}
