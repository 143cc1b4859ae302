/// What all CPUs together had done at one moment, in nanoseconds (in steps of a tick).
struct MachineSample {
  var busy: UInt64 = 0
  var softirq: UInt64 = 0
  /// What the softirq threads ran: work that a relay leaves to them costs it nothing, and the machine all the same.
  var softirqThreads: UInt64 = 0
  /// Taken by the hypervisor.
  var stolen: UInt64 = 0

  static func take() throws(BenchError) -> MachineSample {
    guard let line = ProcFile.text("/proc/stat")?.split(separator: "\n").first, line.hasPrefix("cpu ") else {
      throw BenchError("/proc/stat cannot be read")
    }
    // cpu user nice system idle iowait irq softirq steal ...
    let times = line.split(separator: " ").dropFirst().compactMap { UInt64($0) }.map { $0 * ProcFile.tick }
    guard times.count >= 8 else { throw BenchError("/proc/stat has an unknown form") }
    return MachineSample(
      busy: times[0] + times[1] + times[2] + times[5] + times[6], softirq: times[6],
      softirqThreads: softirqThreadsTime(), stolen: times[7])
  }

  private static let softirqThreads = ProcFile.names("/proc").filter {
    Int($0) != nil && ProcFile.text("/proc/\($0)/comm")?.hasPrefix("ksoftirqd/") == true
  }

  private static func softirqThreadsTime() -> UInt64 {
    softirqThreads.reduce(0) { sum, thread in
      sum + (ProcFile.text("/proc/\(thread)/schedstat")?.split(separator: " ").first.flatMap { UInt64($0) } ?? 0)
    }
  }

  static func - (end: MachineSample, start: MachineSample) -> MachineSample {
    MachineSample(
      busy: end.busy &- start.busy, softirq: end.softirq &- start.softirq,
      softirqThreads: end.softirqThreads &- start.softirqThreads, stolen: end.stolen &- start.stolen)
  }
}
