import Testing
import VoltlaneWire

@testable import Relay

/// The relay stands still, for seconds or for hours: it is stopped, its machine paused, or its CPU used up. The clock
/// goes on meanwhile, bytes come, and nobody is late for it. Afterwards every deadline holds again.
@Suite struct StandstillTests {
  static let times: [UInt64] = [8 * Limits.second, 5 * 3600 * Limits.second]
  /// More than the relay takes note of in many turns.
  static let crowd = 300

  private func scene(seed: UInt64, configure: (inout RelayConfiguration) -> Void = { _ in }) throws -> SessionScene {
    try SessionScene(seed: seed, shards: 2) {
      $0.protection.maxClientsPerAddress = nil
      $0.protection.maxPendingHandshakesPerAddress = nil
      $0.protection.acceptRatePerAddress = nil
      configure(&$0)
    }
  }

  private func failures(_ scene: SessionScene) -> [String] {
    var reasons: [String] = []
    while let packet = scene.next() {
      if packet.flag == .failure { reasons.append(String(decoding: packet.data, as: UTF8.self)) }
    }
    return reasons
  }

  // MARK: Clients

  @Test(arguments: times, 1...4 as ClosedRange<UInt64>)
  func whoSpokeMeanwhileIsNotIdle(time: UInt64, seed: UInt64) throws {
    let scene = try scene(seed: seed) { $0.protection.idleTimeout = .seconds(5) }
    let members = (0..<Self.crowd).map { scene.join(shard: $0 % 2) }
    for round in 0..<5 {
      // All but a tenth of their time is over.
      scene.simulation.pass(round == 0 ? 4_500_000_000 : Limits.second)
      scene.simulation.stop(for: time)
      for member in members { scene.simulation.write(SimulatedClient.packet([1]), to: member.socket) }
      scene.simulation.settle()
      #expect(scene.simulation[.sessionsEnded] == 0, "round \(round)")
    }
    scene.simulation.pass(4 * Limits.second)
    #expect(failures(scene) == [])
    scene.simulation.pass(3 * Limits.second)
    #expect(failures(scene) == Array(repeating: "idle timeout", count: Self.crowd))
  }

  /// A client that is stopped together with the relay, or whose bytes come a little later, has its time as well.
  @Test(arguments: times) func whoWasSilentMeanwhileHasItsTime(time: UInt64) throws {
    let scene = try scene(seed: 1) { $0.protection.idleTimeout = .seconds(5) }
    let member = scene.join()
    scene.simulation.pass(3 * Limits.second)
    scene.simulation.stop(for: time)
    scene.simulation.pass(Limits.second)
    scene.simulation.write(SimulatedClient.packet([1]), to: member.socket)
    scene.simulation.pass(4 * Limits.second)
    #expect(scene.simulation[.sessionsEnded] == 0)
  }

  /// Also where the rest takes many reads, or is the whole of it.
  @Test(arguments: times, [1, 20, 200_000])
  func thePacketThatBecameWholeIsInTime(time: UInt64, rest: Int) throws {
    for isMetered in [false, true] {
      let scene = try scene(seed: 3) {
        $0.packetTimeout = .seconds(5)
        if isMetered { $0.protection.clientByteRate = Rate(10_000_000, per: .second) }
      }
      let members = (0..<(rest > 1000 ? 20 : Self.crowd)).map { scene.join(shard: $0 % 2) }
      let packet = SimulatedClient.packet([UInt8](repeating: 5, count: rest))
      for member in members { scene.simulation.write([packet[0]], to: member.socket) }
      scene.simulation.pass(4_900_000_000)
      scene.simulation.stop(for: time)
      for member in members { scene.simulation.write(Array(packet[1...]), to: member.socket) }
      scene.simulation.settle()
      #expect(failures(scene) == [])
      #expect(scene.simulation[.packetsUp] == UInt64(members.count))
      // One that stays unfinished still ends.
      scene.simulation.write([9], to: members[0].socket)
      scene.simulation.pass(6 * Limits.second)
      #expect(failures(scene) == ["packet timeout"])
    }
  }

  @Test(arguments: times, 1...4 as ClosedRange<UInt64>)
  func handshakesGoOn(time: UInt64, seed: UInt64) throws {
    let scene = try scene(seed: seed)
    let early = (0..<Self.crowd).map { scene.simulation.connect(shard: $0 % 2) }
    for socket in early.prefix(100) {
      scene.simulation.write(FramedHandshakePacket.protocolVersion().bytes, to: socket)
    }
    scene.simulation.pass(4_500_000_000)
    scene.simulation.stop(for: time)
    for socket in early.prefix(100) {
      scene.simulation.write(
        Array(SimulatedClient.hello.dropFirst(FramedHandshakePacket.protocolVersion().byteCount)), to: socket)
    }
    for socket in early[100..<200] { scene.simulation.write(SimulatedClient.hello, to: socket) }
    scene.simulation.settle()
    #expect(scene.simulation[.sessionsStarted] == 200)
    #expect(scene.simulation[.refusedHandshakeTimeout] == 0)
    scene.simulation.pass(2 * Limits.second)
    #expect(scene.simulation[.refusedHandshakeTimeout] == UInt64(Self.crowd - 200))
  }

  @Test(arguments: times) func headersOfProxiesAreInTime(time: UInt64) throws {
    let scene = try scene(seed: 2) { $0.protection.proxies = [try! Network("127.0.0.0/8")] }
    let sockets = (0..<Self.crowd).map { scene.simulation.connect(shard: $0 % 2) }
    scene.simulation.pass(2_800_000_000)
    scene.simulation.stop(for: time)
    for socket in sockets {
      scene.simulation.write(Array("PROXY UNKNOWN\r\n".utf8) + SimulatedClient.hello, to: socket)
    }
    scene.simulation.settle()
    #expect(scene.simulation[.sessionsStarted] == UInt64(Self.crowd))
  }

  /// A client that comes back meanwhile finds its session, and so does one whose ping arrived in time while the worker
  /// was busy.
  @Test(arguments: times, [false, true]) func staleSessionsKeepTheirTime(time: UInt64, isInHandshake: Bool) throws {
    let scene = try scene(seed: 4) { $0.staleTimeout = .seconds(10) }
    let member = scene.join()
    let other = scene.join()
    for each in [member, other] { scene.simulation.reset(each.socket) }
    scene.simulation.pass(9_800_000_000)
    if isInHandshake {
      let attempt = scene.attempt(member.id)
      scene.simulation.holdWorkers = true
      _ = scene.finish(attempt)
      scene.simulation.stop(for: time)
      scene.simulation.pass(Limits.second / 2)
      scene.simulation.holdWorkers = false
      scene.simulation.settle()
      #expect(!attempt.socket.relayFinished)
    } else {
      scene.simulation.stop(for: time)
      let back = scene.comeBack(member.id)
      #expect(!back.socket.relayFinished)
    }
    #expect(scene.simulation[.reconnections] == 1)
    scene.simulation.pass(Limits.second)
    #expect(scene.simulation[.sessionsEnded] == 1)
  }

  @Test(arguments: times) func whoIsHalfClosedGetsItsAnswer(time: UInt64) throws {
    let scene = try scene(seed: 5)
    var member = scene.join()
    scene.simulation.finish(member.socket)
    scene.simulation.pass(4_800_000_000)
    scene.simulation.stop(for: time)
    scene.simulation.write(SimulatedBackend.packet(member.id, .data, [7]), to: scene.backend.socket)
    scene.simulation.settle()
    #expect(member.client.next() == [7])
    scene.simulation.pass(2 * Limits.second)
    #expect(member.socket.relayClosed)
  }

  @Test(arguments: times) func whoClosedMeanwhileIsNotReset(time: UInt64) throws {
    let scene = try scene(seed: 6)
    let members = (0..<Self.crowd).map { scene.join(shard: $0 % 2) }
    for member in members { scene.send(member.id, [], .kick) }
    scene.simulation.pass(2 * Limits.second)
    scene.simulation.stop(for: time)
    for member in members { scene.simulation.finish(member.socket) }
    scene.simulation.settle()
    #expect(members.allSatisfy { $0.socket.relayClosed && !$0.socket.relayReset })
  }

  /// The socket has room by now, though too little for the kernel to tell of it.
  @Test(arguments: times, [true, false]) func whoTookSomethingIsNotSlow(time: UInt64, isTold: Bool) throws {
    let scene = try scene(seed: 7) { $0.protection.slowClientTimeout = .seconds(10) }
    scene.simulation.roughness = 0
    let member = scene.join()
    member.socket.room = 0
    scene.send(member.id, [1, 2, 3])
    scene.simulation.pass(9_900_000_000)
    scene.simulation.stop(for: isTold ? time : 0)
    if isTold { scene.simulation.allow(5, member.socket) } else { member.socket.room = 5 }
    scene.simulation.pass(2 * Limits.second)
    #expect(scene.simulation[.sessionsEnded] == 0)
    scene.simulation.pass(10 * Limits.second)
    #expect(failures(scene) == ["slow client"])
  }

  // MARK: Rates

  /// What a client may send in the time that the relay stood still it may send, and no more.
  @Test(arguments: [8 * Limits.second]) func ratesGoOn(time: UInt64) throws {
    let scene = try scene(seed: 8) {
      $0.protection.clientPacketRate = Rate(100, per: .second)
      $0.protection.ratePolicy = .end
    }
    let member = scene.join()
    let packets = { (count: Int) in Array((0..<count).map { _ in SimulatedClient.packet([1]) }.joined()) }
    scene.simulation.write(packets(100), to: member.socket)
    scene.simulation.pass(Limits.second)
    scene.simulation.stop(for: time)
    for _ in 0..<8 {
      scene.simulation.write(packets(100), to: member.socket)
      scene.simulation.settle()
    }
    #expect(scene.simulation[.packetsUp] == 900)
    #expect(scene.simulation[.sessionsEnded] == 0)
    scene.simulation.write(packets(300), to: member.socket)
    scene.simulation.settle()
    #expect(failures(scene) == ["rate limit"])
  }

  @Test func connectionsThatWaitedAreWithinTheirRate() throws {
    let scene = try scene(seed: 9) {
      $0.protection.acceptRate = Rate(10, per: .second)
      $0.protection.acceptRatePerAddress = Rate(10, per: .second)
    }
    let address = ClientAddress(v4: 0xc000_0207)
    _ = scene.join(address: address)
    scene.simulation.pass(Limits.second)
    scene.simulation.stop(for: 20 * Limits.second)
    for _ in 0..<200 { _ = scene.simulation.connect(shard: 0, address: address) }
    scene.simulation.settle()
    #expect(scene.simulation[.clientsRefused] == 0)
    for _ in 0..<40 { _ = scene.simulation.connect(shard: 0, address: address) }
    scene.simulation.settle()
    #expect(scene.simulation[.clientsRefused] > 0)
  }

  // MARK: The backend

  @Test(arguments: times, [FirehoseCore.own, .shared])
  func aBackendIsNotLateEither(time: UInt64, core: FirehoseCore) throws {
    let scene = try SessionScene(shards: 1, firehoseCore: core) {
      $0.backendTimeout = .seconds(30)
      $0.backendLossTimeout = .seconds(20)
    }
    let member = scene.join()
    // Its machine was stopped as well: it could acknowledge nothing.
    scene.backend.socket.silence = Limits.second
    scene.simulation.pass(5 * Limits.second)
    scene.simulation.stop(for: time)
    scene.backend.socket.silence = time + 6 * Limits.second
    scene.simulation.pass(4 * Limits.second)
    #expect(scene.simulation.backends.count == 1)
    // The same of one that is dialled, and of sessions that wait for it.
    scene.backend.socket.silence = 0
    scene.simulation.roomOfNewBackends = 0
    scene.simulation.reset(scene.backend.socket)
    scene.simulation.pass(4 * Limits.second)
    #expect(scene.simulation.backends.count == 2)
    scene.simulation.stop(for: time)
    scene.simulation.allow(.max, scene.simulation.backends[1])
    scene.simulation.pass(Limits.second)
    #expect(scene.simulation.backends.count == 2)
    #expect(scene.simulation[.backendConnections] == 2 && scene.simulation[.backendDialsFailed] == 0)
    #expect(!member.socket.relayFinished && scene.simulation[.sessionsEnded] == 0)
  }

  // MARK: The relay's end

  @Test(arguments: times) func whatHadComeIsReadAtTheEnd(time: UInt64) throws {
    let scene = try scene(seed: 10)
    let members = (0..<Self.crowd).map { scene.join(shard: $0 % 2) }
    scene.simulation.drain()
    scene.simulation.stop(for: time)
    for member in members { scene.simulation.write(SimulatedClient.packet([1, 2]), to: member.socket) }
    scene.simulation.settle()
    var heard = 0
    while let packet = scene.next() { if packet.flag == .data { heard += 1 } }
    #expect(heard == Self.crowd)
  }

  // MARK: Bounds

  /// The kernel always has more to say, and the lists are never empty: the others' deadlines hold all the same.
  @Test(arguments: [false, true]) func aFloodPutsNobodysDeadlineOff(closes: Bool) throws {
    let scene = try scene(seed: 11) { $0.staleTimeout = .seconds(4) }
    scene.simulation.roughness = 0
    let flooding = (0..<40).map { scene.join(shard: $0 % 2) }
    let stale = scene.join()
    scene.simulation.reset(stale.socket)
    let silent = scene.simulation.connect(shard: 0)
    scene.simulation.settle()
    // Those that are kicked go on sending, for as long as their sockets are open.
    if closes { for member in flooding { scene.send(member.id, [], .kick) } }
    let begin = scene.simulation.now
    var (staleEnded, silentEnded): (UInt64?, UInt64?)
    let flood = Array((0..<300).map { _ in SimulatedClient.packet([UInt8](repeating: 1, count: 1000)) }.joined())
    while scene.simulation.now - begin < 8 * Limits.second, staleEnded == nil || silentEnded == nil {
      for member in flooding where !member.socket.relayClosed && member.socket.available < flood.count {
        scene.simulation.write(flood, to: member.socket)
      }
      scene.simulation.stop(for: 20 * Limits.millisecond)
      for _ in 0..<12 { scene.simulation.step(until: scene.simulation.now) }
      scene.backend.socket.outgoing = []
      let ended: UInt64 = closes ? 41 : 1
      if scene.simulation[.sessionsEnded] == ended, staleEnded == nil { staleEnded = scene.simulation.now - begin }
      if silent.relayClosed, silentEnded == nil { silentEnded = scene.simulation.now - begin }
    }
    #expect(staleEnded.map { $0 < 5_500_000_000 } == true, "\(String(describing: staleEnded))")
    #expect(silentEnded.map { $0 < 6_500_000_000 } == true, "\(String(describing: silentEnded))")
    if !closes { #expect(flooding.contains { $0.socket.available > 0 }) }
  }
}

/// The clock by itself.
@Suite struct ThreadClockTests {
  private let second = Limits.second

  @Test func itLeavesOutWhatCameTooLate() {
    var clock = ThreadClock(machine: 100 * second)
    #expect(clock.sleeps(until: 160 * second) == 101 * second)
    clock.look(101 * second)
    #expect(clock.now == 101 * second && clock.stoodStill == 0)
    #expect(clock.sleeps(until: 160 * second) == 102 * second)
    clock.look(110 * second)
    #expect(clock.now == 101 * second && clock.machine == 110 * second && clock.grace == 9 * second)
    // Deadlines are the thread's, ends of sleeps the machine's.
    #expect(clock.sleeps(until: 101 * second + 5) == 110 * second + 5)
    clock.look(110 * second + 5)
    #expect(clock.now == 101 * second + 5)
  }

  @Test func aSleepWithoutADeadlineIsNeverLate() {
    var clock = ThreadClock(machine: 0)
    #expect(clock.sleeps(until: .max) == .max)
    clock.look(1000 * second)
    #expect(clock.now == 1000 * second && clock.grace == 0)
  }

  @Test func aTurnThatTakesTooLongIsAStandstill() {
    var clock = ThreadClock(machine: 0)
    clock.staysAwake()
    clock.look(Limits.standstill)
    #expect(clock.now == Limits.standstill)
    clock.staysAwake()
    clock.look(Limits.standstill + 10 * second)
    #expect(clock.now == Limits.standstill)
  }

  /// Where every look is late the clock goes on, if slowly.
  @Test func aStarvedThreadsClockGoesOn() {
    var clock = ThreadClock(machine: 0)
    for round in 1...100 as ClosedRange<UInt64> {
      clock.staysAwake()
      clock.look(round * second / 2)
    }
    #expect(clock.now >= 20 * second && clock.now <= 30 * second)
  }
}
