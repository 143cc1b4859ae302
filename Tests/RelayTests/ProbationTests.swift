import Glibc
import Testing

@testable import Relay

/// When a connection counts as the backend's, and what is believed until then; over a scripted kernel, to the
/// millisecond.
@Suite struct ProbationTests {
  /// Passes the time until the relay has dialled once more; the socket.
  private static func nextDial(_ simulation: Simulation) -> SimulatedSocket {
    let count = simulation.backends.count
    while simulation.backends.count == count { simulation.pass(Limits.millisecond) }
    simulation.settle(for: 0)
    return simulation.backends.last!
  }

  /// How long a connection stands until it counts, in milliseconds.
  private static func probation(_ simulation: Simulation) -> UInt64 {
    let begin = simulation.now
    let count = simulation[.backendConnections]
    while simulation[.backendConnections] == count { simulation.pass(Limits.millisecond) }
    return (simulation.now - begin) / Limits.millisecond
  }

  private static func failing(lives: [UInt64], of simulation: Simulation) {
    for life in lives {
      let socket = nextDial(simulation)
      simulation.pass(life * Limits.millisecond)
      simulation.finish(socket)
      simulation.settle(for: 0)
    }
  }

  /// Lives of connections that say nothing, in milliseconds, and how long the next one then has to stand.
  @Test(
    arguments: [
      ([], 100), ([0], 100), ([1, 1, 1, 1], 100), ([80], 160), ([99, 3], 198),
      // No more than five times as long as the last time, and no more than six seconds.
      ([3000], 500), ([3000, 3000], 2500), ([3000, 3000, 3000], 6000), ([3000, 3000, 3000, 3000], 6000),
      // It had lasted, and ended all the same: no pattern.
      ([150, 400], 100),
      // Settled.
      ([3000, 10_000], 100),
    ] as [([UInt64], UInt64)])
  func howLongIsLearnt(lives: [UInt64], expected: UInt64) throws {
    let simulation = try Simulation(seed: 1)
    simulation.settle(for: 0)
    simulation.reset(simulation.backends.last!)
    simulation.settle(for: 0)
    Self.failing(lives: lives, of: simulation)
    _ = Self.nextDial(simulation)
    let time = Self.probation(simulation)
    #expect(time + 3 >= expected && time <= expected + 3, "\(time) ms")
  }

  /// A dial that is refused now and then is one of several addresses; again and again, it is a backend that comes back.
  @Test(arguments: [(2, 500), (3, 100)] as [(Int, UInt64)])
  func dialsThatAreRefusedMakeItShortAgain(refused: Int, expected: UInt64) throws {
    let simulation = try Simulation(seed: 1)
    simulation.settle(for: 0)
    simulation.reset(simulation.backends.last!)
    simulation.settle(for: 0)
    Self.failing(lives: [3000], of: simulation)
    simulation.backendListens = false
    for _ in 0..<refused { _ = Self.nextDial(simulation) }
    simulation.backendListens = true
    _ = Self.nextDial(simulation)
    let time = Self.probation(simulation)
    #expect(time + 3 >= expected && time <= expected + 3, "\(time) ms")
  }

  /// A word of the backend's is proof; one that it would not say is none.
  @Test func aWellFormedPacketIsProof() throws {
    let scene = try SessionScene()
    let member = scene.join()
    for (bytes, isProof) in [
      (SimulatedBackend.packet(member.id, .data, [1]), true), (SimulatedBackend.packet(7, .kick), true),
      (SimulatedBackend.packet(member.id, .failure), false), ([1, 0, 0, 0, 9], false), ([9, 0, 0, 0], false),
    ] as [([UInt8], Bool)] {
      scene.restartBackend()
      scene.simulation.pass(11 * Limits.second)
      scene.simulation.reset(scene.backend.socket)
      scene.simulation.settle(for: 0)
      let socket = Self.nextDial(scene.simulation)
      let count = scene.simulation[.backendConnections]
      scene.simulation.write(bytes, to: socket)
      scene.simulation.settle(for: 0)
      #expect((scene.simulation[.backendConnections] > count) == isProof, "\(bytes)")
      scene.simulation.pass(Limits.second)
      scene.backend = SimulatedBackend(socket)
    }
  }

  @Test func theSocketThatIsItsOwnPeerIsResetAndNoBackend() throws {
    let scene = try SessionScene { $0.backendLossTimeout = .seconds(20) }
    scene.simulation.nextDialLeadsToItself = true
    scene.simulation.reset(scene.backend.socket)
    scene.simulation.settle(for: 0)
    let socket = Self.nextDial(scene.simulation)
    #expect(socket.relayReset && socket.relayClosed && scene.simulation[.backendConnections] == 1)
  }

  /// The time for which clients are held is that without a backend: it stands still while one seems to be there, and
  /// begins anew only when it was.
  @Test func timeWithoutABackendAddsUp() throws {
    let scene = try SessionScene { $0.backendLossTimeout = .seconds(20) }
    let member = scene.join()
    scene.simulation.reset(scene.backend.socket)
    scene.simulation.settle(for: 0)
    var waited: UInt64 = 0
    // Each time for 6 s on probation, then for 1 s believed.
    for _ in 0..<40 where !member.socket.relayFinished {
      let begin = scene.simulation.now
      let socket = Self.nextDial(scene.simulation)
      scene.simulation.pass(7 * Limits.second)
      scene.simulation.finish(socket)
      scene.simulation.settle(for: 0)
      waited += scene.simulation.now - begin
    }
    #expect(member.socket.relayFinished && waited > 20 * Limits.second)
  }

  // MARK: Names

  /// An entry that appears while a name server is waited for is seen.
  @Test func aLookUpThatHangsIsAskedForAgain() throws {
    let scene = try SessionScene {
      $0.eventLevel = .warning
      $0.backendLossTimeout = .seconds(30)
    }
    let member = scene.join()
    var log = RecordConsumer(scene.simulation.parts.events[2])
    scene.simulation.lookUp = .underWay
    scene.simulation.hasAddress = false
    scene.simulation.reset(scene.backend.socket)
    scene.simulation.pass(2 * Limits.second)
    let asked = scene.simulation.lookUps
    scene.simulation.pass(2 * Limits.second)
    #expect(scene.simulation.lookUps == asked + 1)
    var hangs = 0
    while let event = log.pop() { if case .backendNotReached(.lookUpHangs, count: 1) = event { hangs += 1 } }
    #expect(hangs == 1)
    scene.simulation.lookUp = .found
    scene.simulation.hasAddress = true
    scene.simulation.pass(4 * Limits.second)
    #expect(scene.simulation[.backendConnections] == 2)
    scene.simulation.pass(11 * Limits.second)
    // And where it hangs for ever, clients are held no longer than they are to be.
    scene.simulation.lookUp = .underWay
    scene.simulation.hasAddress = false
    scene.simulation.reset(scene.simulation.backends.last!)
    scene.simulation.pass(29 * Limits.second)
    #expect(!member.socket.relayFinished)
    scene.simulation.pass(2 * Limits.second)
    #expect(member.socket.relayFinished)
  }

  /// A name that is gone has no address, whatever it had. One that cannot be asked for keeps it, and that is told.
  @Test(arguments: [LookUp.unknownName, .failed(code: EAI_AGAIN, errno: 0)])
  func anOldAddressIsNotDialledInSilence(lookUp: LookUp) throws {
    let scene = try SessionScene { $0.eventLevel = .warning }
    var log = RecordConsumer(scene.simulation.parts.events[2])
    scene.simulation.lookUp = lookUp
    scene.simulation.hasAddress = lookUp != .unknownName
    scene.simulation.reset(scene.backend.socket)
    scene.simulation.pass(5 * Limits.second)
    var told: [BackendFailure] = []
    while let event = log.pop() { if case .backendNotReached(let failure, _) = event { told.append(failure) } }
    #expect(told == [lookUp == .unknownName ? .unresolved : .lookUpOfOld(code: EAI_AGAIN, errno: 0)])
    #expect(scene.simulation.backends.count == (lookUp == .unknownName ? 1 : 2))
  }
}
