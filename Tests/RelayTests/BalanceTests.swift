import Testing

@testable import Relay

/// The rules of ``Balance``, case by case.
@Suite struct BalanceTests {
  typealias Load = Balance.HostLoad

  private func shard(_ number: Int, _ weight: Double) -> Balance.RoleLoad { .init(role: number, weight: weight) }
  private func fixed(_ number: Int, _ weight: Double) -> Balance.RoleLoad {
    .init(role: number, weight: weight, moves: false)
  }
  private func host(_ busy: Double, waited: Double = 0, _ roles: [Balance.RoleLoad] = []) -> Load {
    Load(busy: busy, waited: waited, roles: roles)
  }

  /// What is done when the same is measured again and again, and after how many times.
  private func decide(_ hosts: [Load], idle: Double?, isShort: Bool = false) -> (move: Balance.Move, after: Int)? {
    var balance = Balance()
    for count in 1...100 {
      if let move = balance.decide(.init(hosts: hosts, idleCPUs: idle, isShortOfCPUs: isShort)) {
        return (move, count)
      }
    }
    return nil
  }

  @Test func aFullThreadIsSpreadWhereACPUIsIdle() throws {
    let hosts = [host(0.98, [shard(0, 4), shard(1, 4), shard(2, 5)]), host(0)]
    let (move, after) = try #require(decide(hosts, idle: 0.9))
    #expect(move == .init(role: 2, host: 1) && after == Limits.spreadAfter)
  }

  @Test func theRoleGoesThatLeavesTheMostEvenLoad() throws {
    #expect(decide([host(1, [shard(0, 1), shard(1, 7), shard(2, 4)]), host(0)], idle: 1)?.move.role == 1)
    #expect(decide([host(1, [shard(0, 1), shard(1, 90), shard(2, 9)]), host(0)], idle: 1)?.move.role == 1)
    // Beside one shard with all the traffic, it is the firehose.
    #expect(decide([host(1, [shard(0, 70), shard(1, 0), shard(2, 30)]), host(0)], idle: 1)?.move.role == 2)
  }

  @Test func itGoesWhereThereIsMostRoom() {
    let full = host(1, [shard(0, 1), shard(1, 1)])
    #expect(decide([full, host(0.5, [shard(2, 1)]), host(0.2, [shard(3, 1)])], idle: 1)?.move.host == 2)
  }

  @Test func nothingIsSpread() {
    let roles = [shard(0, 1), shard(1, 1)]
    // There is time left, or no CPU is idle, or the thread itself waits for one.
    #expect(decide([host(0.85, roles), host(0)], idle: 1) == nil)
    #expect(decide([host(1, roles), host(0)], idle: 0.2) == nil)
    // A control group allows no more, whether a CPU is idle or nobody knows.
    #expect(decide([host(1, roles), host(0)], idle: 1, isShort: true) == nil)
    #expect(decide([host(1, roles), host(0)], idle: nil, isShort: true) == nil)
    #expect(decide([host(0.9, waited: 0.1, roles), host(0)], idle: 1) == nil)
    // It would not help: one role does it all, or may not go, or is alone; or the other threads are as busy.
    #expect(decide([host(1, [shard(0, 1), shard(1, 0)]), host(0)], idle: 1) == nil)
    #expect(decide([host(1, [fixed(0, 1), fixed(1, 1)]), host(0)], idle: 1) == nil)
    #expect(decide([host(1, [shard(0, 1)]), host(0)], idle: 1) == nil)
    #expect(decide([host(1, roles), host(0.95, [shard(2, 1)])], idle: 1) == nil)
    #expect(decide([host(1, roles)], idle: 1) == nil)
  }

  @Test func twoThreadsThatOneCanReplaceAreFolded() throws {
    let hosts = [host(0.3, [shard(0, 1)]), host(0.25, [shard(1, 1)])]
    let (move, after) = try #require(decide(hosts, idle: 1))
    #expect(move == .init(role: 1, host: 0) && after == Limits.foldAfter)
    // The one that has more to do stays; of two alike, the first.
    #expect(decide([host(0.1, [shard(0, 1)]), host(0.2, [shard(1, 1)])], idle: 1)?.move == .init(role: 0, host: 1))
    #expect(decide([host(0, [shard(0, 0)]), host(0, [shard(1, 0)])], idle: 2)?.move == .init(role: 1, host: 0))
    #expect(decide([host(0.4, [shard(0, 1)]), host(0.3, [shard(1, 1)])], idle: 1) == nil)
    #expect(decide([host(0.1, [shard(0, 1)]), host(0)], idle: 1) == nil)
  }

  @Test func ofManyTheTwoWithLeastToDoAreFolded() {
    let hosts = [host(0.5, [shard(0, 1)]), host(0.1, [shard(1, 1)]), host(0.3, [shard(2, 1)])]
    #expect(decide(hosts, idle: 1)?.move == .init(role: 1, host: 2))
  }

  @Test func whatHasToStayIsFoldedTo() {
    let hosts = [host(0.1, [shard(0, 1), fixed(2, 1)]), host(0.3, [shard(1, 1)])]
    #expect(decide(hosts, idle: 1)?.move == .init(role: 1, host: 0))
  }

  @Test func threadsThatTakeTurnsAreFolded() {
    let hosts = [host(0.45, waited: 0.4, [shard(0, 1)]), host(0.4, waited: 0.4, [shard(1, 1)])]
    #expect(decide(hosts, idle: 0)?.move == .init(role: 1, host: 0))
    // There is a CPU for each, or one could not carry both.
    #expect(decide(hosts, idle: 0.5) == nil)
    #expect(
      decide([host(0.5, waited: 0.4, [shard(0, 1)]), host(0.5, waited: 0.4, [shard(1, 1)])], idle: 0) == nil)
  }

  /// What was folded is not spread again at once, and what was spread is not folded.
  @Test(arguments: [0.1, 0.3, 0.55, 0.6, 0.7, 0.85, 0.9, 1.0, 1.2, 1.6])
  func aSteadyLoadComesToRest(load: Double) {
    var balance = Balance()
    var places = [0, 0, 0, 0]
    var moves = 0
    for _ in 0..<400 {
      let hosts = (0..<2).map { index in
        let roles = places.indices.filter { places[$0] == index }
        let share = load * Double(roles.count) / Double(places.count)
        return host(min(1, share), roles.map { shard($0, 1) })
      }
      let idle = 2 - hosts.reduce(0) { $0 + $1.busy }
      if let move = balance.decide(.init(hosts: hosts, idleCPUs: idle)) {
        places[move.role] = move.host
        moves += 1
      }
    }
    #expect(moves <= places.count)
    #expect(Set(places).count == (load < 0.9 ? 1 : 2))
  }

  /// Roles over two hosts, each of which does so much; what the relay thinks they do is something else. Returns the
  /// moves.
  private func moves(
    of loads: [Double], estimated: [Double], measurements: Int, idle: (_ busy: [Double]) -> Double?,
    waited: (_ hosts: Int) -> Double = { _ in 0 }
  ) -> [(Balance.Move, at: Int)] {
    var balance = Balance()
    var places = loads.map { _ in 0 }
    var moves: [(Balance.Move, at: Int)] = []
    for time in 0..<measurements {
      let busy = (0..<2).map { host in min(1, places.indices.reduce(0) { $0 + (places[$1] == host ? loads[$1] : 0) }) }
      let hosts = (0..<2).map { index in
        let roles = places.indices.filter { places[$0] == index }.map { shard($0, estimated[$0]) }
        return host(busy[index], waited: roles.isEmpty ? 0 : waited(Set(places).count), roles)
      }
      if let move = balance.decide(.init(hosts: hosts, idleCPUs: idle(busy))) {
        places[move.role] = move.host
        moves.append((move, time))
      }
    }
    return moves
  }

  /// The firehose does more than it is thought to: wherever it goes, it fills that thread, and seems to fit in at the
  /// other. In ten minutes it goes a few times, and not twice a second.
  @Test func aWrongEstimateMovesNothingBackAndForth() {
    let moves = moves(of: [0.5, 0.35, 0.7], estimated: [1, 0.7, 0.4], measurements: 2400, idle: { _ in 1 })
    let times = moves.filter { $0.0.role == 2 }.map(\.at)
    #expect((3...6).contains(times.count) && moves.count <= times.count + 1, "\(moves)")
    let pauses = zip(times, times.dropFirst()).map { $1 - $0 }
    #expect(pauses.allSatisfy { $0 >= Limits.restAfterSpread }, "\(pauses)")
    #expect(zip(pauses, pauses.dropFirst()).allSatisfy { $1 > $0 }, "\(pauses)")
  }

  @Test func whatWasFoldedMaySpreadAtOnce() {
    var balance = Balance()
    let full = Balance.Measurement(hosts: [host(1, [shard(0, 1), shard(1, 1)]), host(0)], idleCPUs: 1)
    for _ in 0..<5 {
      let spread = (1...Limits.spreadAfter).compactMap { _ in balance.decide(full) }
      #expect(spread == [.init(role: 0, host: 1)] || spread == [.init(role: 1, host: 1)])
      // The same role comes back.
      let back = Balance.Measurement(
        hosts: [host(0.15, [shard(1 - spread[0].role, 1)]), host(0.1, [shard(spread[0].role, 1)])], idleCPUs: 1)
      #expect((1...Limits.foldAfter).compactMap { _ in balance.decide(back) } == [.init(role: spread[0].role, host: 0)])
    }
  }

  @Test func whereNobodyKnowsOfIdleCPUsItIsTried() throws {
    let (move, after) = try #require(decide([host(1, [shard(0, 1), shard(1, 2)]), host(0)], idle: nil))
    #expect(move.host == 1 && after == Limits.spreadAfter)
    #expect(decide([host(1, waited: 0.2, [shard(0, 1), shard(1, 2)]), host(0)], idle: nil) == nil)
    // It helped: it stays.
    #expect(moves(of: [0.8, 0.8], estimated: [1, 1], measurements: 400, idle: { _ in nil }).count == 1)
  }

  /// The two only take turns: they are one again, and the next tries come later and later.
  @Test func aTrialThatFailsIsRarelyRepeated() {
    let moves = moves(
      of: [0.5, 0.5], estimated: [1, 1], measurements: 2400, idle: { _ in nil }, waited: { $0 == 2 ? 0.5 : 0 })
    let tries = moves.filter { $0.0.host == 1 }.map(\.at)
    #expect((3...6).contains(tries.count), "\(moves)")
    let pauses = zip(tries, tries.dropFirst()).map { $1 - $0 }
    #expect(zip(pauses, pauses.dropFirst()).allSatisfy { $1 > $0 }, "\(pauses)")
  }

  @Test func aMomentIsNoReason() {
    var balance = Balance()
    let full = Balance.Measurement(hosts: [host(1, [shard(0, 1), shard(1, 1)]), host(0)], idleCPUs: 1)
    let quiet = Balance.Measurement(hosts: [host(0.2, [shard(0, 1), shard(1, 1)]), host(0)], idleCPUs: 1)
    for _ in 0..<50 {
      #expect(balance.decide(full) == nil)
      #expect(balance.decide(quiet) == nil)
    }
  }
}
