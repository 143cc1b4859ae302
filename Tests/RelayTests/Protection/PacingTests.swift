import Testing
import VoltlaneWire

@testable import Relay

/// Limits on what attached clients send, and take.
@Suite struct PacingTests {
  private func scene(_ configure: (inout ProtectionConfiguration) -> Void) throws -> SessionScene {
    let scene = try SessionScene(shards: 1) { configure(&$0.protection) }
    scene.simulation.roughness = 0
    return scene
  }

  /// How many of the backend's packets are this client's.
  private func received(_ scene: SessionScene, of id: UInt64) -> Int {
    var count = 0
    while let packet = scene.next() {
      #expect(packet.flag == .data)
      if packet.id == id { count += 1 }
    }
    return count
  }

  @Test func whoSendsTooManyPacketsIsSlowedDown() throws {
    let scene = try scene { $0.clientPacketRate = Rate(100, per: .second, burst: 50) }
    let member = scene.join()
    let neighbour = scene.join()
    let sent = 9000
    scene.simulation.write(Array((0..<sent).map { _ in SimulatedClient.packet([1]) }.joined()), to: member.socket)
    scene.simulation.pass(Limits.second)
    // What a read brought is taken; the next one comes when that has been paid.
    let first = received(scene, of: member.id)
    #expect(first == Limits.meteredReadSize / 5)
    for _ in 0..<30 {
      scene.simulation.write(SimulatedClient.packet([2]), to: neighbour.socket)
      scene.simulation.pass(Limits.second)
      #expect(received(scene, of: member.id) == 0)
    }
    #expect(scene.simulation[.packetsUp] == UInt64(first + 30))
    #expect(scene.simulation[.slowedPacketRate] == 1)
    // Nothing of it is lost.
    scene.simulation.pass(60 * Limits.second)
    #expect(first + received(scene, of: member.id) == sent)
  }

  @Test func whoKeepsToItsRateIsNeverPaused() throws {
    let scene = try scene { $0.clientPacketRate = Rate(100, per: .second, burst: 50) }
    let member = scene.join()
    for _ in 0..<100 {
      scene.simulation.write(Array((0..<10).map { _ in SimulatedClient.packet([1]) }.joined()), to: member.socket)
      scene.simulation.pass(Limits.second / 10)
      #expect(received(scene, of: member.id) == 10)
    }
    #expect(scene.simulation[.slowedPacketRate] == 0)
  }

  @Test func whoSendsTooManyBytesIsSlowedDown() throws {
    let scene = try scene { $0.clientByteRate = Rate(10_000, per: .second) }
    let member = scene.join()
    // Large ones, which come in several reads, count as well.
    let packet = [UInt8](repeating: 7, count: 60_000)
    scene.simulation.write(SimulatedClient.packet(packet), to: member.socket)
    scene.simulation.settle()
    #expect(received(scene, of: member.id) == 1)
    scene.simulation.write(SimulatedClient.packet([1]), to: member.socket)
    scene.simulation.pass(4 * Limits.second)
    #expect(received(scene, of: member.id) == 0)
    scene.simulation.pass(2 * Limits.second)
    #expect(received(scene, of: member.id) == 1)
    #expect(scene.simulation[.slowedByteRate] >= 1)
    #expect(scene.simulation[.slowedPacketRate] == 0)
  }

  @Test func aPauseIsNoPartOfAPacketsTime() throws {
    let scene = try SessionScene(shards: 1) {
      $0.protection.clientPacketRate = Rate(1, per: .second)
      $0.packetTimeout = .seconds(2)
    }
    let member = scene.join()
    let many = Array((0..<11).map { _ in SimulatedClient.packet([1]) }.joined())
    scene.simulation.write(many + [1, 0, 0, 0], to: member.socket)
    scene.simulation.pass(5 * Limits.second)
    scene.simulation.write([9], to: member.socket)
    scene.simulation.pass(10 * Limits.second)
    #expect(received(scene, of: member.id) == 12)
    #expect(!member.socket.relayFinished)
  }

  @Test func whoSendsTooMuchEndsWhereThatIsWanted() throws {
    let scene = try scene {
      $0.clientPacketRate = Rate(100, per: .second)
      $0.ratePolicy = .end
    }
    let member = scene.join()
    let neighbour = scene.join()
    for _ in 0..<5 {
      for each in [member, neighbour] {
        scene.simulation.write(Array((0..<100).map { _ in SimulatedClient.packet([1]) }.joined()), to: each.socket)
      }
      scene.simulation.pass(Limits.second)
    }
    #expect(!member.socket.relayFinished)
    scene.simulation.write(Array((0..<300).map { _ in SimulatedClient.packet([1]) }.joined()), to: member.socket)
    scene.simulation.settle()
    #expect(member.socket.relayFinished && !neighbour.socket.relayFinished)
    #expect(scene.simulation[.endedRateLimit] == 1)
    var last: SimulatedBackend.Packet?
    while let packet = scene.next() { last = packet }
    #expect(last == scene.failure(member.id, "rate limit"))
  }

  @Test func aDrainReadsWhatAPausedClientHadSent() throws {
    let scene = try scene { $0.clientPacketRate = Rate(1, per: .minute) }
    let member = scene.join()
    for _ in 0..<5 {
      scene.simulation.write(SimulatedClient.packet([1]), to: member.socket)
      scene.simulation.settle(for: 0)
    }
    scene.simulation.drain()
    scene.simulation.settle(for: 10 * Limits.second)
    var data = 0
    while let packet = scene.next() { if packet.flag == .data { data += 1 } }
    #expect(data == 5)
  }

  // MARK: Silence

  @Test func whoSendsNothingEnds() throws {
    let scene = try scene { $0.idleTimeout = .seconds(60) }
    let silent = scene.join()
    let talker = scene.join()
    let begun = scene.join()
    for _ in 0..<6 {
      scene.simulation.write(SimulatedClient.packet([1]), to: talker.socket)
      // What comes for a client is not its own doing.
      scene.send(silent.id, [1])
      scene.simulation.pass(9 * Limits.second)
    }
    #expect(!silent.socket.relayFinished)
    scene.simulation.write(SimulatedClient.packet([2]), to: begun.socket)
    scene.simulation.pass(10 * Limits.second)
    #expect(silent.socket.relayFinished && !talker.socket.relayFinished && !begun.socket.relayFinished)
    #expect(scene.simulation[.endedIdleTimeout] == 1)
    scene.simulation.pass(70 * Limits.second)
    #expect(begun.socket.relayFinished)
    #expect(scene.simulation[.endedIdleTimeout] == 3)
  }

  @Test func silenceBeginsAnewWithAReconnection() throws {
    let scene = try scene { $0.idleTimeout = .seconds(60) }
    let member = scene.join()
    scene.simulation.pass(50 * Limits.second)
    let back = scene.comeBack(member.id)
    scene.simulation.pass(50 * Limits.second)
    #expect(!back.socket.relayFinished)
    scene.simulation.pass(11 * Limits.second)
    #expect(back.socket.relayFinished)
  }

  // MARK: Slow readers

  @Test func whoTakesNothingEnds() throws {
    let scene = try scene { $0.slowClientTimeout = .seconds(10) }
    let slow = scene.join()
    let late = scene.join()
    let slowly = scene.join()
    let neighbour = scene.join()
    slow.socket.room = 2
    scene.send(slow.id, [1, 2, 3])
    scene.simulation.pass(5 * Limits.second)
    for each in [late, slowly] {
      each.socket.room = 2
      scene.send(each.id, [1, 2, 3])
    }
    scene.simulation.pass(4 * Limits.second)
    #expect(!slow.socket.relayFinished && scene.next() == nil)
    scene.simulation.pass(2 * Limits.second)
    #expect(scene.next() == scene.failure(slow.id, "slow client"))
    #expect(scene.simulation[.endedSlowClient] == 1)
    // A byte is progress.
    scene.simulation.allow(1, slowly.socket)
    scene.simulation.pass(5 * Limits.second)
    #expect(scene.next() == scene.failure(late.id, "slow client"))
    #expect(scene.next() == nil)
    scene.simulation.allow(.max, slowly.socket)
    scene.simulation.pass(60 * Limits.second)
    #expect(scene.next() == nil)
    scene.send(neighbour.id, [4])
    var client = neighbour.client
    #expect(client.next() == [4])
  }

  /// A client whose TCP does not answer is away, and its session goes stale. One whose TCP answers again, and that
  /// takes nothing, is slow.
  @Test func whoseNetworkIsGoneIsNotSlow() throws {
    let scene = try scene { $0.slowClientTimeout = .seconds(10) }
    let (gone, closed, late) = (scene.join(), scene.join(), scene.join())
    for each in [gone, closed, late] {
      each.socket.room = 2
      scene.send(each.id, [1, 2, 3])
    }
    // What was on its way may have been acknowledged after the socket was full.
    for each in [gone, closed] { each.socket.silence = 5 * Limits.second }
    late.socket.silence = 5 * Limits.second - 1
    scene.simulation.pass(11 * Limits.second)
    #expect(scene.next() == scene.failure(late.id, "slow client"))
    #expect(scene.next() == nil)
    // The kernel asks a closed window more and more seldom.
    gone.socket.silence = 15 * Limits.second
    closed.socket.silence = 9 * Limits.second
    scene.simulation.pass(10 * Limits.second)
    #expect(scene.next() == scene.failure(closed.id, "slow client"))
    gone.socket.silence = 60 * Limits.second
    scene.simulation.pass(40 * Limits.second)
    #expect(scene.next() == nil)
    scene.simulation.reset(gone.socket)
    var back = scene.comeBack(gone.id)
    #expect(back.client.next() == [0])
    #expect(back.client.next() == [1, 2, 3])
    #expect(scene.simulation[.endedSlowClient] == 2)
  }

  @Test func aSessionGoesOnWhereASlowReadersSocketEnds() throws {
    let scene = try scene { $0.slowClientTimeout = .seconds(10) }
    let member = scene.join()
    member.socket.room = 2
    scene.send(member.id, [1, 2, 3])
    scene.simulation.pass(9 * Limits.second)
    scene.simulation.reset(member.socket)
    scene.simulation.pass(60 * Limits.second)
    #expect(scene.next() == nil)
    var back = scene.comeBack(member.id)
    #expect(back.client.next() == [0])
    #expect(back.client.next() == [1, 2, 3])
  }

  /// What connections that close go on sending is discarded, and delays nobody's packets.
  @Test(arguments: [1, 2, 20]) func whoIsBeingClosedAndFloodsHoldsUpNobody(count: Int) throws {
    let scene = try SessionScene(shards: 1)
    scene.simulation.roughness = 0
    let member = scene.join()
    let flood = 16 * Limits.mebi
    let closing = (0..<count).map { _ in scene.join() }
    for offender in closing { scene.send(offender.id, [], .kick) }
    while scene.next() != nil {}
    for offender in closing {
      scene.simulation.write([UInt8](repeating: 0, count: flood / count), to: offender.socket)
    }
    scene.simulation.write(SimulatedClient.packet([7]), to: member.socket)
    var packet: SimulatedBackend.Packet?
    while packet == nil, scene.simulation.step() { packet = scene.next() }
    #expect(packet?.data == [7])
    // Most of the flood has not even been looked at.
    #expect(closing.reduce(0) { $0 + $1.socket.available } > flood / 2)
  }
}
