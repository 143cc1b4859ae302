import Glibc

/// What a process had used at one moment. The sum over its threads' schedstat is exact to a scheduler tick; the split
/// into user and system comes from /proc/PID/stat, which has the ticks' coarse proportion.
struct ProcessSample {
  struct ThreadTime {
    var name = ""
    /// Nanoseconds on a CPU.
    var running: UInt64
    /// Nanoseconds ready to run, waiting for a CPU.
    var waiting: UInt64
    /// Times it went to sleep, and times it was taken off its CPU.
    var voluntarySwitches: UInt64 = 0
    var involuntarySwitches: UInt64 = 0
  }

  var threads: [String: ThreadTime] = [:]
  var userTicks: UInt64 = 0
  var systemTicks: UInt64 = 0
  var residentBytes: UInt64 = 0

  static func take(_ pid: Int32) throws(BenchError) -> ProcessSample {
    var sample = ProcessSample()
    let root = "/proc/\(pid)"
    guard let stat = ProcFile.text("\(root)/stat"), let status = ProcFile.text("\(root)/status") else {
      throw BenchError("process \(pid) is gone, or /proc/\(pid) cannot be read")
    }
    // The name in parentheses may contain spaces; utime and stime are the 12th and 13th fields after it.
    let fields = stat[(stat.lastIndex(of: ")") ?? stat.startIndex)...].split(separator: " ")
    sample.userTicks = UInt64(fields[12]) ?? 0
    sample.systemTicks = UInt64(fields[13]) ?? 0
    sample.residentBytes = (ProcFile.number("VmRSS:", in: status) ?? 0) * 1024
    for thread in ProcFile.names("\(root)/task") {
      guard let times = ProcFile.text("\(root)/task/\(thread)/schedstat"),
        let status = ProcFile.text("\(root)/task/\(thread)/status"),
        let name = ProcFile.text("\(root)/task/\(thread)/comm")
      else { continue }
      let numbers = times.split { $0 == " " || $0 == "\n" }.compactMap { UInt64($0) }
      guard numbers.count >= 2 else { continue }
      sample.threads[thread] = ThreadTime(
        name: String(name.prefix { $0 != "\n" }), running: numbers[0], waiting: numbers[1],
        voluntarySwitches: ProcFile.number("voluntary_ctxt_switches:", in: status) ?? 0,
        involuntarySwitches: ProcFile.number("nonvoluntary_ctxt_switches:", in: status) ?? 0)
    }
    return sample
  }
}

/// What a process used between two samples, in nanoseconds.
struct ProcessUse {
  var total: UInt64 = 0
  var user: UInt64 = 0
  var system: UInt64 = 0
  var voluntarySwitches: UInt64 = 0
  var involuntarySwitches: UInt64 = 0
  /// The thread that ran most, and how long it waited for a CPU meanwhile.
  var busiestRunning: UInt64 = 0
  var busiestWaiting: UInt64 = 0
  /// What threads of each name ran.
  var runningByName: [String: UInt64] = [:]

  init(from start: ProcessSample, to end: ProcessSample) {
    for (thread, time) in end.threads {
      let before = start.threads[thread] ?? ProcessSample.ThreadTime(running: 0, waiting: 0)
      let running = time.running - before.running
      total += running
      if running > 0 { runningByName[time.name, default: 0] += running }
      voluntarySwitches += time.voluntarySwitches - before.voluntarySwitches
      involuntarySwitches += time.involuntarySwitches - before.involuntarySwitches
      if running >= busiestRunning {
        busiestRunning = running
        busiestWaiting = time.waiting - before.waiting
      }
    }
    let userTicks = end.userTicks - start.userTicks
    let ticks = userTicks + end.systemTicks - start.systemTicks
    user = ticks == 0 ? 0 : UInt64(Double(total) * Double(userTicks) / Double(ticks))
    system = ticks == 0 ? 0 : total - user
  }
}
