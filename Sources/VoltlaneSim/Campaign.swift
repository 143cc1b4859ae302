#if TESTABLE
import Glibc

/// Runs many worlds, in as many processes as there are processors, each world twice, and reports those that fail.
struct Campaign {
  let ticks: Int
  let jobs: Int
  /// The next seed, the last one, and until when new ones are begun.
  private var next: UInt64
  private let last: UInt64
  private let deadline: Int
  private var worlds = 0
  private var turns = 0
  private var failed: [UInt64] = []
  private var running: [Worker] = []

  private final class Worker {
    let child: Child
    let end: UInt64
    /// The world that it is running.
    var seed: UInt64
    var isFailing = false
    var lastLines: [String] = []

    init(_ child: Child, _ seeds: ClosedRange<UInt64>) {
      self.child = child
      seed = seeds.lowerBound
      end = seeds.upperBound
    }
  }

  init(seeds: ClosedRange<UInt64>, seconds: Int?, ticks: Int, jobs: Int) {
    self.ticks = ticks
    self.jobs = jobs
    next = seeds.lowerBound
    last = seeds.upperBound
    deadline = seconds.map { Campaign.now() + $0 } ?? .max
  }

  private static func now() -> Int {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return time.tv_sec
  }

  /// How many worlds one process runs; only one if time is short, so that it ends in time.
  private var chunk: UInt64 { deadline == .max ? 8 : 1 }

  mutating func run() -> Int32 {
    let start = Campaign.now()
    while true {
      while running.count < jobs, next <= last, Campaign.now() < deadline { begin() }
      guard !running.isEmpty else { break }
      var descriptors = running.map { pollfd(fd: $0.child.output, events: Int16(POLLIN), revents: 0) }
      poll(&descriptors, nfds_t(descriptors.count), -1)
      for (index, worker) in running.enumerated() where descriptors[index].revents != 0 { hear(worker) }
      running.removeAll { $0.child.isOver }
    }
    let seconds = max(1, Campaign.now() - start)
    print("\(worlds) worlds, \(turns) turns (\(turns / seconds) a second), \(failed.count) failed")
    // Shrinking takes many runs, and after the first few failures there is enough to read.
    for seed in failed.sorted().prefix(3) { print(Shrinker(seed: seed, ticks: ticks).report()) }
    return failed.isEmpty ? 0 : 1
  }

  private mutating func begin(at seed: UInt64? = nil, to end: UInt64? = nil) {
    let first = seed ?? next
    let final = end ?? min(last, first + chunk - 1)
    let arguments = ["--seeds", "\(first)..\(final)", "--ticks", String(ticks), "--twice", "--in-turn"]
    guard let child = Child(arguments) else {
      print("voltlane-sim: no process can be started")
      exit(71)
    }
    running.append(Worker(child, first...final))
    if seed == nil { next = final + 1 }
  }

  private mutating func hear(_ worker: Worker) {
    defer { fflush(nil) }
    for line in worker.child.lines() {
      let words = line.split(separator: " ")
      if words.count >= 3, words[0] == "seed", let seed = UInt64(words[1]) {
        worker.seed = seed
        if words[2] == "begins" { continue }
        worlds += 1
        if words[2] == "FAILED:" || line.contains("not the same twice") {
          failed.append(seed)
          print(line)
        } else if words.count > 3, let count = Int(words[3]) {
          turns += 2 * count
        }
      } else {
        worker.lastLines = Array((worker.lastLines + [line]).suffix(20))
      }
    }
    guard worker.child.isOver, worker.child.exitCode > 1 else { return }
    failed.append(worker.seed)
    worlds += 1
    print("seed \(worker.seed) FAILED: the relay traps (\(worker.child.exitCode))")
    for line in worker.lastLines where line.contains("Fatal error") || line.contains(" at ") { print("    \(line)") }
    if worker.seed < worker.end { begin(at: worker.seed + 1, to: worker.end) }
  }
}
#endif
