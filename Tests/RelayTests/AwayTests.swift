import Testing
import VoltlaneCrypto
import VoltlaneWire

@testable import Relay

/// What the backend is told of sessions that lose their sockets, where it wants to be told (`--away on`).
@Suite struct AwayTests {
  private func scene(seed: UInt64 = 1, configure: (inout RelayConfiguration) -> Void = { _ in }) throws -> SessionScene
  {
    try SessionScene(seed: seed) {
      $0.tellsAway = true
      configure(&$0)
    }
  }

  private func away(_ id: UInt64) -> SimulatedBackend.Packet { .init(id: id, flag: .away, data: []) }

  /// Behind all of the client's data; the 0x03 says that it is back.
  @Test(arguments: 1...10 as ClosedRange<UInt64>) func isToldBetweenDataAndReturn(seed: UInt64) throws {
    let scene = try scene(seed: seed)
    let member = scene.join()
    scene.simulation.write(SimulatedClient.packet([1]), to: member.socket)
    scene.simulation.settle()
    scene.simulation.reset(member.socket)
    scene.simulation.settle()
    let back = scene.comeBack(member.id, shard: 1, also: SimulatedClient.packet([2]))
    scene.simulation.reset(back.socket)
    scene.simulation.settle()
    let expected = [
      scene.data(member.id, [1]), away(member.id), scene.reconnection(member.id), scene.data(member.id, [2]),
      away(member.id),
    ]
    for packet in expected { #expect(scene.next() == packet) }
    #expect(scene.next() == nil)
    #expect(scene.simulation[.awayTold] == 2)
  }

  @Test func isNotToldUnlessAskedFor() throws {
    let scene = try SessionScene()
    let member = scene.join()
    scene.simulation.reset(member.socket)
    scene.simulation.settle()
    #expect(scene.next() == nil)
    #expect(scene.simulation[.sessionsGoneStale] == 1 && scene.simulation[.awayTold] == 0)
  }

  /// A session that ends with its socket gets its 0x01 alone.
  @Test(arguments: [true, false]) func aSessionThatEndsAtOnceIsNotAway(hasNoTime: Bool) throws {
    let scene = try scene {
      if hasNoTime { $0.staleTimeout = .zero } else { $0.maxStaleClients = 0 }
    }
    let member = scene.join()
    scene.simulation.reset(member.socket)
    scene.simulation.settle()
    #expect(scene.next() == scene.failure(member.id, hasNoTime ? "stale timeout" : "stale table full"))
    #expect(scene.next() == nil)
  }

  @Test func theEndComesBehind() throws {
    let scene = try scene { $0.staleTimeout = .seconds(2) }
    let member = scene.join()
    scene.simulation.reset(member.socket)
    scene.simulation.settle()
    scene.simulation.pass(3 * Limits.second)
    #expect(scene.next() == away(member.id))
    #expect(scene.next() == scene.failure(member.id, "stale timeout"))
    #expect(scene.next() == nil)
  }

  /// A client that takes over a socket that looked alive was never away.
  @Test func aTakeOverIsNotAway() throws {
    let scene = try scene()
    let member = scene.join()
    _ = scene.comeBack(member.id)
    #expect(scene.next() == scene.reconnection(member.id))
    #expect(scene.next() == nil)
  }

  /// In the sweep the 0x03 of a stale session is followed by its 0x04, before the next session's.
  @Test(arguments: 1...5 as ClosedRange<UInt64>) func theSweepSaysWhoIsAway(seed: UInt64) throws {
    let scene = try scene(seed: seed)
    let members = scene.restartBackendWithThreeOfSixAway()
    let gone = Set(members.prefix(3).map(\.id))
    var named: Set<UInt64> = []
    while let packet = scene.next() {
      #expect(packet == scene.reconnection(packet.id))
      named.insert(packet.id)
      if gone.contains(packet.id) { #expect(scene.next() == away(packet.id)) }
    }
    #expect(named == Set(members.map(\.id)))
  }

  /// Where the uplink has no room, a session keeps what is owed of it, in order; its slot is free after the last of it.
  @Test func whatIsOwedStaysInOrder() throws {
    let ids = ClientIDs(shards: 1, random: { 7 })
    var sessions = try SessionTable(shard: 0, ids: ids)
    let bytes = SimulatedClient.key
    let key = try PublicKey(sec1: bytes.span.bytes)
    var slots: [UInt32] = []
    for _ in 0..<3 {
      let slot = sessions.start(connection: .none, key: key, address: .none, now: 0)
      slots.append(try #require(slot))
    }
    for slot in slots { sessions[slot].state = .stale }
    sessions.owe(slots[1], Session.Owed.away)
    sessions.owe(slots[0], Session.Owed.away)
    // Over before anybody was told that it was away: that is told first.
    sessions.owe(slots[1], CloseReason.staleTimeout)
    sessions.owe(slots[2], CloseReason.kicked)
    try sessions.checkInvariants()
    expect(sessions.live == 1)
    expect(sessions.firstOwed == slots[1] && sessions[slots[1]].owed == [.away, .failure])
    sessions.removeFirstOwed(.away)
    expect(sessions.firstOwed == slots[1] && sessions[slots[1]].owed == [.failure])
    sessions.removeFirstOwed(.failure)
    expect(sessions[slots[1]].state == .free)
    expect(sessions.firstOwed == slots[0])
    sessions.removeFirstOwed(.away)
    expect(sessions[slots[0]].state == .stale && sessions[slots[0]].owed == [])
    expect(sessions.firstOwed == slots[2])
    // Owed anew, behind the others.
    sessions.owe(slots[0], Session.Owed.away)
    try sessions.checkInvariants()
    sessions.removeFirstOwed(.failure)
    expect(sessions.firstOwed == slots[0])
    sessions.removeFirstOwed(.away)
    expect(sessions.firstOwed == nil)
  }
}
