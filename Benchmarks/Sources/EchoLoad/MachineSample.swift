/// What all CPUs together had done at one moment, in nanoseconds (in steps of a tick).
struct MachineSample {
  var busy: UInt64 = 0
  var softirq: UInt64 = 0
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
      busy: times[0] + times[1] + times[2] + times[5] + times[6], softirq: times[6], stolen: times[7])
  }

  static func - (end: MachineSample, start: MachineSample) -> MachineSample {
    MachineSample(
      busy: end.busy &- start.busy, softirq: end.softirq &- start.softirq, stolen: end.stolen &- start.stolen)
  }
}
