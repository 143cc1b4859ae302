import Testing
import VoltlaneWire

@testable import Relay

/// The firehose's connection over a scripted kernel: how the backend is dialled, what its loss costs, and what becomes
/// of malformed packets that it sends.
@Suite struct BackendTests {
  // MARK: Dialling

  /// From 50 ms, doubling to 2 s, each with up to half of it as jitter.
  @Test func delaysBetweenDialsGrow() throws {
    let scene = try SessionScene()
    scene.simulation.backendListens = false
    scene.simulation.reset(scene.backend.socket)
    scene.simulation.settle(for: 0)
    var count = scene.simulation.backends.count
    var last = scene.simulation.now
    for delay in [50, 100, 200, 400, 800, 1600, 2000, 2000, 2000] as [UInt64] {
      while scene.simulation.backends.count == count { scene.simulation.step() }
      let waited = scene.simulation.now - last
      #expect(waited >= delay / 2 * Limits.millisecond && waited < delay * Limits.millisecond, "\(delay) ms")
      scene.simulation.settle(for: 0)
      count = scene.simulation.backends.count
      last = scene.simulation.now
    }
  }

  /// They are small again only after a connection that lived ten seconds.
  @Test(arguments: [(9, 400), (10, 50)] as [(UInt64, UInt64)])
  func aConnectionThatLivedMakesThemSmallAgain(lived: UInt64, delay: UInt64) throws {
    let scene = try SessionScene()
    for _ in 0..<3 {
      scene.simulation.reset(scene.backend.socket)
      scene.simulation.pass(Limits.second)
      scene.backend = SimulatedBackend(scene.simulation.backends.last!)
    }
    scene.simulation.pass(lived * Limits.second)
    let count = scene.simulation.backends.count
    scene.simulation.reset(scene.backend.socket)
    scene.simulation.settle(for: 0)
    let lost = scene.simulation.now
    while scene.simulation.backends.count == count { scene.simulation.step() }
    let waited = scene.simulation.now - lost
    #expect(waited >= delay / 2 * Limits.millisecond && waited < delay * Limits.millisecond)
  }

  @Test func aDialGetsFiveSeconds() throws {
    let scene = try SessionScene()
    // A connection that never comes about.
    scene.simulation.roomOfNewBackends = 0
    scene.simulation.reset(scene.backend.socket)
    scene.simulation.pass(Limits.second)
    let dialled = scene.simulation.backends.last!
    scene.simulation.pass(3900 * Limits.millisecond)
    #expect(!dialled.relayClosed)
    scene.simulation.roomOfNewBackends = .max
    scene.simulation.pass(2 * Limits.second)
    #expect(dialled.relayClosed && scene.simulation.backends.last! !== dialled)
    #expect(scene.simulation[.backendConnections] == 2)
  }

  // MARK: Loss

  @Test(arguments: 1...8 as ClosedRange<UInt64>)
  func wholePacketsBeforeItsFINAreDeliveredAndAnUnfinishedOneIsDropped(seed: UInt64) throws {
    let scene = try SessionScene(seed: seed)
    var member = scene.join()
    let packets = (0..<50 as Range<UInt8>).flatMap { SimulatedBackend.packet(member.id, .data, [$0]) }
    let unfinished = SimulatedBackend.packet(member.id, .data, [UInt8](repeating: 1, count: 40)).dropLast()
    scene.simulation.write(packets + unfinished, to: scene.backend.socket)
    scene.simulation.finish(scene.backend.socket)
    scene.simulation.pass(3 * Limits.second)
    scene.backend = SimulatedBackend(scene.simulation.backends.last!)
    scene.send(member.id, [99])
    for number in 0..<50 as Range<UInt8> { #expect(member.client.next() == [number]) }
    #expect(member.client.next() == [99] && member.client.next() == nil)
    #expect(scene.next() == scene.reconnection(member.id))
  }

  /// What it had sent, and its end, still come; it is not announced.
  @Test func whoEndedWithoutABackendIsNotAnnounced() throws {
    let scene = try SessionScene { $0.staleTimeout = .milliseconds(100) }
    let gone = scene.join(shard: 0)
    let stays = scene.join(shard: 1)
    scene.simulation.backendListens = false
    scene.simulation.reset(scene.backend.socket)
    scene.simulation.settle()
    scene.simulation.write(SimulatedClient.packet([1]), to: gone.socket)
    scene.simulation.settle()
    scene.simulation.reset(gone.socket)
    scene.simulation.pass(Limits.second)
    scene.simulation.backendListens = true
    scene.simulation.pass(3 * Limits.second)
    scene.backend = SimulatedBackend(scene.simulation.backends.last!)
    #expect(scene.next() == scene.reconnection(stays.id))
    #expect(scene.next() == .init(id: gone.id, flag: .data, data: [1]))
    #expect(scene.next() == scene.failure(gone.id, "stale timeout"))
    #expect(scene.next() == nil)
  }

  /// An 0x01 within which two connections died is dropped, and nobody is ended for it.
  @Test func anEndWithinWhichTwoConnectionsDieIsOnlyDropped() throws {
    let scene = try SessionScene { $0.announce = false }
    scene.simulation.roughness = 0
    scene.simulation.roomOfNewBackends = 5
    let kicked = scene.join(shard: 0)
    let neighbour = scene.join(shard: 0)
    scene.backend.socket.room = 5
    scene.send(kicked.id, [], .kick)
    scene.simulation.write(SimulatedClient.packet([7]), to: neighbour.socket)
    scene.simulation.settle()
    scene.restartBackend()
    scene.simulation.roomOfNewBackends = .max
    scene.restartBackend()
    #expect(scene.next() == .init(id: neighbour.id, flag: .data, data: [7]))
    #expect(scene.next() == nil)
    #expect(!neighbour.socket.relayFinished && scene.simulation[.sessionsEnded] == 1)
  }

  @Test func withExitTheRelayAsksForItsEnd() throws {
    let scene = try SessionScene { $0.backendLoss = .exit }
    let member = scene.join()
    scene.simulation.reset(scene.backend.socket)
    scene.simulation.settle(for: 0)
    #expect(scene.simulation.control.exitRequested && member.socket.relayFinished)
  }

  /// Before the first connection nothing counts as a loss.
  @Test(arguments: [BackendLoss.drop, .exit])
  func aBackendThatNeverWasIsNotLost(backendLoss: BackendLoss) throws {
    let simulation = try Simulation(seed: 1) { $0.backendLoss = backendLoss }
    simulation.backendListens = false
    simulation.pass(60 * Limits.second)
    let socket = simulation.connect(shard: 0)
    simulation.write(SimulatedClient.hello, to: socket)
    simulation.settle()
    var client = SimulatedClient(socket)
    #expect(client.readHandshake() != nil)
    #expect(!simulation.control.exitRequested && simulation[.sessionsEnded] == 0)
  }

  // MARK: What it sends

  @Test(arguments: 1...4 as ClosedRange<UInt64>)
  func packetsThatMakeNoSenseAreCountedAndSkipped(seed: UInt64) throws {
    let scene = try SessionScene(seed: seed)
    var member = scene.join()
    let id = (0..<8).map { UInt8(truncatingIfNeeded: member.id >> UInt64(8 * $0)) }
    let odd: [[UInt8]] = [[], [1], id, id + [1], id + [3], id + [4, 1], id + [255]]
    for data in odd { scene.simulation.write(SimulatedClient.packet(data), to: scene.backend.socket) }
    scene.send(member.id, [5])
    #expect(member.client.next() == [5] && member.client.next() == nil)
    #expect(scene.simulation[.packetsMalformed] == UInt64(odd.count))
    #expect(scene.next() == nil && scene.simulation[.sessionsEnded] == 0)
  }

  /// A size that only a multicast may have is judged by the flag; one that nothing may have, by itself.
  @Test(
    arguments: [
      (1010, 0), (1010, 5), (1009 + Multicast.mostOverhead, 2), (1010 + Multicast.mostOverhead, nil),
    ] as [(Int, UInt8?)])
  func aPacketAboveTheMaximumCostsTheConnectionAndNoClient(size: Int, flag: UInt8?) throws {
    let scene = try SessionScene { $0.maxPacketSize = 1000 }
    var member = scene.join()
    scene.send(member.id, [UInt8](repeating: 3, count: 1000))
    #expect(member.client.next()?.count == 1000)
    scene.simulation.write(Wire.sizePrefixBytes(size), to: scene.backend.socket)
    scene.simulation.settle(for: 0)
    #expect(scene.backend.socket.relayClosed == (flag == nil))
    if let flag {
      scene.simulation.write([UInt8](repeating: 0, count: Wire.clientID) + [flag], to: scene.backend.socket)
      scene.simulation.settle(for: 0)
    }
    #expect(scene.backend.socket.relayClosed && !member.socket.relayFinished)
  }

  /// Where the uplink is full, answers are dropped and counted; ends of sessions never are.
  @Test func answersAreDroppedWhereTheUplinkIsFullAndEndsAreNot() throws {
    let scene = try SessionScene(shards: 1)
    let member = scene.join()
    scene.backend.socket.room = 0
    let packets = (0..<1200).flatMap { _ in SimulatedClient.packet([UInt8](repeating: 1, count: 1000)) }
    scene.simulation.write(packets, to: member.socket)
    scene.simulation.settle()
    for _ in 0..<10_000 { scene.simulation.write(SimulatedBackend.packet(12345), to: scene.backend.socket) }
    scene.simulation.write(SimulatedBackend.packet(member.id, .kick), to: scene.backend.socket)
    scene.simulation.settle()
    // All was read, and the kick took effect.
    #expect(member.socket.relayFinished && scene.backend.socket.available == 0)
    #expect(scene.simulation[.answersDropped] > 0)
    scene.simulation.allow(.max, scene.backend.socket)
    scene.simulation.settle()
    var answers: UInt64 = 0
    var ends = 0
    while let packet = scene.next() {
      if packet == scene.failure(12345, "unknown client") { answers += 1 }
      if packet == scene.failure(member.id, "kicked") { ends += 1 }
    }
    #expect(ends == 1 && answers + scene.simulation[.answersDropped] == 10_000)
  }
}
