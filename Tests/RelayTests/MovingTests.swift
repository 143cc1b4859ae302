import Testing

@testable import Relay

/// What a role has with it when it moves between hosts: its time, what its clients are given after a standstill, and
/// the numbers of its slots. Simulated worlds move roles all the time; this is what they do not see.
@Suite struct MovingTests {
  /// Host 0 has noticed a standstill that the idle host 1 slept through: their clocks differ from then on.
  private func sceneOfTwoClocks(configure: (inout RelayConfiguration) -> Void = { _ in }) throws -> (
    SessionScene, SessionScene.Member
  ) {
    let scene = try SessionScene {
      // So that a host with a client never sleeps without a deadline.
      $0.protection.clientPacketRate = Rate(1000, per: .second)
      configure(&$0)
    }
    let member = scene.join(shard: 0)
    scene.simulation.pass(Limits.second)
    scene.simulation.stop(for: 20 * Limits.second)
    scene.simulation.settle()
    return (scene, member)
  }

  /// `settle` fails where a host never sleeps.
  @Test func aHostWithAnotherClockSleeps() throws {
    let (scene, member) = try sceneOfTwoClocks()
    for host in [1, 2, 0, 1] {
      scene.simulation.move(role: 0, to: host)
      scene.simulation.settle()
      #expect(scene.simulation.parts.table.whereabouts[0].host == host)
      scene.simulation.pass(Limits.second)
    }
    #expect(scene.simulation[.sessionsEnded] == 0 && !member.socket.relayFinished)
  }

  @Test func deadlinesStayWhatTheyWere() throws {
    let (scene, member) = try sceneOfTwoClocks { $0.protection.idleTimeout = .seconds(60) }
    scene.simulation.pass(30 * Limits.second)
    scene.simulation.move(role: 0, to: 1)
    scene.simulation.pass(20 * Limits.second)
    #expect(scene.simulation[.endedIdleTimeout] == 0)
    scene.simulation.pass(20 * Limits.second)
    #expect(scene.simulation[.endedIdleTimeout] == 1)
    #expect(member.socket.relayFinished)
  }

  @Test func aRolesTimeNeverGoesBack() throws {
    let (scene, _) = try sceneOfTwoClocks()
    let seat = scene.simulation.parts.table.shard(0)
    var last: UInt64 = 0
    for host in [1, 0, 2, 1, 0] {
      scene.simulation.move(role: 0, to: host)
      scene.simulation.settle()
      #expect(seat.seat.leftAt >= last)
      last = seat.seat.leftAt
    }
    #expect(last > 0)
  }

  /// Six clients of each shard are few; twelve at one host are many, and their sends enter the kernel together.
  @Test func theSendsOfAllShardsAtAHostCount() throws {
    let scene = try SessionScene(firehoseCore: .shared)
    scene.simulation.roughness = 0
    let members = (0..<12).map { scene.join(shard: $0 % 2) }
    func sendToAll() -> Int {
      let before = scene.simulation.queuedSends
      scene.simulation.write(
        members.flatMap { SimulatedBackend.packet($0.id, .data, [1, 2, 3]) }, to: scene.backend.socket)
      scene.simulation.settle()
      return scene.simulation.queuedSends - before
    }
    #expect(sendToAll() == 0)
    scene.simulation.move(role: 1, to: 0)
    scene.simulation.settle()
    #expect(sendToAll() == members.count)
    // What it was told of others it forgets where it is alone.
    scene.simulation.move(role: 1, to: 1)
    scene.simulation.settle()
    #expect(sendToAll() == 0)
    #expect(members.allSatisfy { !$0.socket.relayFinished })
  }

  @Test func graceGoesAlong() throws {
    var clock = ThreadClock(machine: 100 * Limits.second)
    var other = ThreadClock(machine: 100 * Limits.second)
    _ = clock.sleeps(until: 100 * Limits.second + Limits.millisecond)
    _ = other.sleeps(until: .max)
    clock.look(120 * Limits.second)
    other.look(120 * Limits.second)
    #expect(clock.grace > 0 && other.grace == 0)
    other.takeOver(clock.standstill)
    #expect(other.grace == clock.grace)
    // It ends when it would have ended there.
    clock.staysAwake()
    other.staysAwake()
    var machine = 120 * Limits.second
    while clock.grace > 0 {
      machine += 100 * Limits.millisecond
      clock.look(machine)
      other.look(machine)
      clock.staysAwake()
      other.staysAwake()
      #expect((clock.grace > 0) == (other.grace > 0))
    }
    // One that is over is nothing to take over.
    var third = ThreadClock(machine: machine)
    third.takeOver(clock.standstill)
    #expect(third.grace == 0)
  }

  /// A token has 24 bits for it; a slot that was used more often is found all the same.
  @Test func aSlotIsFoundHoweverOftenItWasUsed() throws {
    var connections = try ConnectionTable(shard: 7)
    let added = connections.add(3, at: 0)
    let first = try #require(added)
    connections[first].generation = Token.generationMask - 1
    connections[first].phase = .released
    connections.freeIfReleased(first)
    for socket in 4..<8 as Range<Int32> {
      let again = connections.add(socket, at: 0)
      let index = try #require(again)
      #expect(index == first)
      connections[index].phase = .version
      let token = connections.token(.clientReadable, index)
      #expect(connections.find(token) == index)
      #expect(token.isFor(connections.waiter) && token.shard == 7 && token.purpose == .clientReadable)
      connections[index].phase = .released
      connections.freeIfReleased(index)
      try connections.checkInvariants()
    }
  }

  @Test func staysAreCountedInTurn() {
    var waiter = Token.Waiter(shard: 255)
    let first = Token(.clientSent, of: waiter, index: 0xff_ffff, generation: Token.generationMask)
    #expect(first.index == 0xff_ffff && first.generation == Token.generationMask && first.shard == 255)
    for stay in 1...16 {
      waiter.moves()
      #expect(waiter.shard == 255)
      #expect(first.isFor(waiter) == (stay == 16))
    }
  }

  @Test func oneFullThreadThatCannotBeHelpedKeepsNoOtherFromIt() {
    var balance = Balance()
    let hosts = [
      Balance.HostLoad(busy: 1, waited: 0, roles: [.init(role: 0, weight: 1)]),
      Balance.HostLoad(busy: 0.95, waited: 0, roles: [.init(role: 1, weight: 1), .init(role: 2, weight: 1)]),
      Balance.HostLoad(busy: 0, waited: 0, roles: []),
    ]
    let measurement = Balance.Measurement(hosts: hosts, idleCPUs: 4)
    #expect(balance.decide(measurement) == nil)
    #expect(balance.decide(measurement) == Balance.Move(role: 1, host: 2))
  }
}
