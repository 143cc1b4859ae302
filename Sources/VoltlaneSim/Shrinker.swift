#if TESTABLE
/// Looks for the shortest run of a failing world that still fails, and for clients without which it still fails.
struct Shrinker {
  let seed: UInt64
  let ticks: Int

  private func run(_ ticks: Int, _ absent: Set<Int>, trace: Bool = false) -> (exitCode: Int32, lines: [String]) {
    var arguments = ["--seed", String(seed), "--ticks", String(ticks)]
    if !absent.isEmpty { arguments += ["--without", absent.sorted().map(String.init).joined(separator: ",")] }
    if trace { arguments.append("--trace") }
    return Child.run(arguments)
  }

  private func fails(_ ticks: Int, _ absent: Set<Int>) -> Bool { run(ticks, absent).exitCode != 0 }

  /// The command that shows the failure, and what happens before it.
  func report() -> String {
    var (most, absent) = (ticks, Set<Int>())
    guard fails(most, absent) else { return "seed \(seed) does not fail again: it is not the same twice" }
    most = fewest(most, absent)
    // Halves of the clients, quarters, and so on down to each.
    let people = 24
    var size = people / 2
    while size > 0 {
      for start in stride(from: 0, to: people, by: size) {
        let without = absent.union(start..<min(people, start + size))
        if without.count < people, without != absent, fails(most, without) { absent = without }
      }
      size /= 2
    }
    most = fewest(most, absent)
    let lines = run(most, absent, trace: true).lines
    var command = "tools/sim --seed \(seed) --ticks \(most)"
    if !absent.isEmpty { command += " --without \(absent.sorted().map(String.init).joined(separator: ","))" }
    let last = lines.suffix(60).map { "    \($0)" }.joined(separator: "\n")
    return "seed \(seed) fails at least from here:\n\(last)\nto see all of it: \(command) --trace"
  }

  private func fewest(_ ticks: Int, _ absent: Set<Int>) -> Int {
    var (passes, fails) = (0, ticks)
    while fails - passes > 1 {
      let middle = (passes + fails) / 2
      if self.fails(middle, absent) { fails = middle } else { passes = middle }
    }
    return fails
  }
}
#endif
