#if TESTABLE
import CAllocatorDoor
import Glibc

#if !ONE_MODULE
import Simulation
#endif

/// What the command line asks for. It is read by hand, because the build that matters has one module and no packages.
struct Arguments {
  var seeds: ClosedRange<UInt64>?
  var ticks = 20_000
  var seconds: Int?
  var jobs = max(1, sysconf(Int32(_SC_NPROCESSORS_ONLN)))
  var keepsTrace = false
  var runsTwice = false
  var isInTurn = false
  var runsKept = false
  var absent: Set<Int> = []

  struct Mistake: Error, CustomStringConvertible {
    let description: String
  }

  static let help = """
    voltlane-sim: the relay in simulated worlds, each of which follows from its seed; says what the relay breaks.

      --seed S        one world
      --seeds A..B    several, in as many processes as there are processors, each twice
      --for TIME      fresh ones until TIME is over, such as 90s, 10m or 1h
      --jobs N        in N processes
      --ticks N       turns that the relay's threads get before everything comes to an end (20000)
      --without N,..  leaves out these clients
      --trace         prints what happens (of one world)
      --twice         runs the world again and compares (of one world)
      --kept          the worlds in which something once failed, each with a trace and without

    It exits with 1 where the relay breaks a promise.
    """

  private static var door: AllocatorDoor {
    AllocatorDoor(
      setInside: { allocator_door_set_inside($0) }, held: { allocator_door_held() },
      fail: { allocator_door_fail($0) }, begin: { allocator_door_begin() })
  }

  init(_ arguments: some Sequence<String>) throws(Mistake) {
    var rest = Array(arguments)[...]
    func value(_ flag: String) throws(Mistake) -> String {
      guard let value = rest.popFirst() else { throw Mistake(description: "\(flag) needs a value") }
      return value
    }
    func number(_ flag: String) throws(Mistake) -> Int {
      let text = try value(flag)
      guard let number = Int(text), number > 0 else {
        throw Mistake(description: "\(flag) takes a number above 0, not '\(text)'")
      }
      return number
    }
    while let flag = rest.popFirst() {
      switch flag {
      case "--seed":
        let seed = UInt64(try number(flag))
        seeds = seed...seed
      case "--seeds": seeds = try Arguments.range(value(flag))
      case "--for": seconds = try Arguments.time(value(flag))
      case "--jobs": jobs = try number(flag)
      case "--ticks": ticks = try number(flag)
      case "--without":
        let text = try value(flag)
        let numbers = text.split(separator: ",").map { Int($0) }
        guard !numbers.contains(nil) else { throw Mistake(description: "--without takes numbers, not '\(text)'") }
        absent = Set(numbers.compactMap { $0 })
      case "--trace": keepsTrace = true
      case "--twice": runsTwice = true
      case "--in-turn": isInTurn = true
      case "--kept": runsKept = true
      default: throw Mistake(description: "there is no flag '\(flag)'; --help has those that there are")
      }
    }
    guard seeds != nil || seconds != nil || runsKept else {
      throw Mistake(description: "give --seed, --seeds, --for or --kept")
    }
  }

  private static func range(_ text: String) throws(Mistake) -> ClosedRange<UInt64> {
    let parts = text.split(separator: ".", omittingEmptySubsequences: true).map { UInt64($0) }
    guard parts.count == 2, let first = parts[0], let last = parts[1], first <= last else {
      throw Mistake(description: "--seeds takes two numbers such as 1..100, not '\(text)'")
    }
    return first...last
  }

  private static func time(_ text: String) throws(Mistake) -> Int {
    let factors: [Character: Int] = ["s": 1, "m": 60, "h": 3600]
    guard let unit = text.last, let factor = factors[unit], let number = Int(text.dropLast()), number > 0 else {
      throw Mistake(description: "--for takes a time such as 90s, 10m or 1h, not '\(text)'")
    }
    return number * factor
  }

  /// Runs the worlds, and returns the exit code.
  func run() -> Int32 {
    if runsKept { return KeptSeed.all.filter { !run($0) }.isEmpty ? 0 : 1 }
    if let seeds, seeds.count == 1 || isInTurn { return runInTurn(seeds) }
    // Fresh seeds begin at a random place, which most likely nobody has tried.
    let fresh = UInt64.random(in: 1_000_000...(1 << 40))
    if seeds == nil { print("fresh seeds from \(fresh) on") }
    var campaign = Campaign(
      seeds: seeds ?? fresh...(fresh + (1 << 40)), seconds: seconds, ticks: ticks, jobs: jobs)
    return campaign.run()
  }

  private func runInTurn(_ seeds: ClosedRange<UInt64>) -> Int32 {
    var isClean = true
    for seed in seeds {
      if isInTurn { print("seed \(seed) begins") }
      fflush(nil)
      if !run(seed) { isClean = false }
      fflush(nil)
    }
    return isClean ? 0 : 1
  }

  /// A trace only records what happens. It takes memory and time, and neither may count as the world's.
  private func run(_ kept: KeptSeed) -> Bool {
    do {
      let outcome = try Run(seed: kept.seed, door: Arguments.door).run(turns: kept.ticks)
      let traced =
        kept.isTraced
        ? try Run(seed: kept.seed, keepsTrace: true, door: Arguments.door).run(turns: kept.ticks) : outcome
      if let failure = outcome.failure ?? traced.failure {
        print("seed \(kept.seed) FAILED: \(failure)")
      } else if outcome.digest != traced.digest {
        print("seed \(kept.seed) FAILED: with a trace it is another world")
      } else {
        print("seed \(kept.seed) ran \(outcome.turns) turns")
        return true
      }
    } catch {
      print("seed \(kept.seed) FAILED: the world cannot be made: \(error)")
    }
    return false
  }

  private func run(_ seed: UInt64) -> Bool {
    do {
      let run = try Run(seed: seed, keepsTrace: keepsTrace, without: absent, door: Arguments.door)
      let outcome = run.run(turns: ticks)
      for line in run.world.trace.lines { print(line) }
      if let failure = outcome.failure {
        print("seed \(seed) FAILED: \(failure)")
        return false
      }
      if runsTwice {
        let second = try Run(seed: seed, without: absent, door: Arguments.door).run(turns: ticks)
        guard second.digest == outcome.digest, second.failure == nil else {
          let what = second.failure.map { ", and the second time it fails: \($0)" } ?? ""
          print("seed \(seed) FAILED: it is not the same twice\(what)")
          return false
        }
      }
      let reasons = outcome.reasons.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value)" }
      print(
        "seed \(seed) ran \(outcome.turns) turns, \(outcome.sessions) sessions, \(outcome.packets) packets; "
          + "ends: \(reasons.isEmpty ? "none" : reasons.joined(separator: ", ")); "
          + "came to rest in \(outcome.settling.turns) turns with \(outcome.settling.moves) moves")
      return true
    } catch {
      print("seed \(seed) FAILED: the world cannot be made: \(error)")
      return false
    }
  }
}
#endif
