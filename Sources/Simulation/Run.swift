#if TESTABLE
@testable import Relay

/// A world from its beginning to its end.
public struct Run {
  public let world: World

  public struct Outcome: Sendable {
    public let seed: UInt64
    public let turns: Int
    public let digest: UInt64
    public let failure: World.Failure?
    public let reasons: [String: Int]
    public let sessions: Int
    public let packets: Int
    /// How many turns it took from the end of the faults until everything under way had arrived, and how many calls
    /// moved bytes or connections in them.
    public let settling: (turns: Int, moves: Int)
  }

  public init(
    seed: UInt64, keepsTrace: Bool = false, without absent: Set<Int> = [], door: AllocatorDoor? = nil
  ) throws {
    world = try World(seed: seed, keepsTrace: keepsTrace, without: absent, door: door)
  }

  /// Runs for that many turns, and then to the end.
  public func run(turns: Int) -> Outcome {
    while world.turns < turns, world.failure == nil, world.step() {}
    var settling = (turns: 0, moves: 0)
    if world.failure == nil { settling = finish() }
    return Outcome(
      seed: world.seed, turns: world.turns, digest: world.trace.digest, failure: world.failure,
      reasons: world.ledger.reasons, sessions: world.ledger.all.count,
      packets: Int(world[.packetsUp] + world[.packetsDown]), settling: settling)
  }

  /// Faults stop, and what is under way has to arrive; then everybody leaves, and nothing may remain.
  private func finish() -> (turns: Int, moves: Int) {
    world.note("faults stop")
    let start = (turn: world.turns, moves: world.moves + world.passages)
    world.isHostile = false
    world.endStalls()
    for person in world.people { person.calm() }
    world.backend.calm()
    world.controller.relax()
    pass(5_000_000_000)
    world.isSettling = true
    // A slow connection takes its time: as long as something moves, there may be more to come.
    var moves: Int
    repeat {
      moves = world.moves
      pass(Run.settleTime)
    } while world.failure == nil && world.moves != moves
    world.isSettling = false
    let settling = (turns: world.lastMove.turn - start.turn, moves: world.lastMove.moves - start.moves)
    world.ledger.checkSettled()
    checkPace(settling)
    guard world.failure == nil else { return settling }
    if world.seed % 2 == 0 {
      world.controller.drain()
      pass(30_000_000_000)
      world.ledger.checkDrained()
    } else {
      for person in world.people { person.leave() }
      world.backend.kickAll()
      pass(30_000_000_000)
      world.ledger.checkEmpty()
    }
    return settling
  }

  /// What is under way arrives within so many turns, and so many more for each call that moves something: small buffers
  /// take many.
  static let settleTurns = 5000
  static let settleTurnsPerMove = 4

  private func checkPace(_ settling: (turns: Int, moves: Int)) {
    let bound = Run.settleTurns + Run.settleTurnsPerMove * settling.moves
    guard settling.turns > bound else { return }
    world.fail("it took \(settling.turns) turns until everything had arrived; \(bound) are enough")
  }

  /// Longer than any delay after which the relay, its backend or a client tries something again.
  static let settleTime: UInt64 = 60_000_000_000

  private func pass(_ time: UInt64) {
    let limit = world.now &+ time
    let start = world.turns
    while world.failure == nil, world.step(until: limit) {
      if world.turns - start > 2_000_000 { return world.fail("the relay never comes to rest") }
    }
  }
}
#endif
