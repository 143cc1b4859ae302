/// What the control groups of this process allow it. Both versions are read, because a container may have either.
struct CgroupLimits: Equatable, Sendable {
  /// Bytes; nil without a limit.
  var memory: Int?
  /// Threads and processes that may still be started; nil without a limit.
  var tasks: Int?
  /// CPUs' worth of time; nil without a limit.
  var cpuTime: Double?

  /// Reads the limits through `file`, which returns the contents of a file or nil.
  static func read(_ file: (String) -> String?) -> CgroupLimits {
    var limits = CgroupLimits()
    // Each line: number ":" controllers ":" path; no controllers in version 2.
    for line in (file("/proc/self/cgroup") ?? "").split(separator: "\n") {
      let fields = line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
      guard fields.count == 3 else { continue }
      let controllers = fields[1].split(separator: ",")
      for path in ancestors(String(fields[2])) {
        if fields[1].isEmpty {
          let base = "/sys/fs/cgroup" + path
          limits.lower(memory: file(base + "/memory.max"))
          // Beyond this the kernel slows a group down, until it hardly runs.
          limits.lower(memory: file(base + "/memory.high"))
          limits.lower(tasks: file(base + "/pids.max"), running: file(base + "/pids.current"))
          limits.lower(cpuTime: file(base + "/cpu.max"))
        }
        if controllers.contains("memory") {
          limits.lower(memory: file("/sys/fs/cgroup/memory\(path)/memory.limit_in_bytes"))
        }
        if controllers.contains("pids") {
          let base = "/sys/fs/cgroup/pids\(path)"
          limits.lower(tasks: file(base + "/pids.max"), running: file(base + "/pids.current"))
        }
        if controllers.contains("cpu") {
          let base = "/sys/fs/cgroup/\(fields[1])\(path)"
          if let quota = file(base + "/cpu.cfs_quota_us"), let period = file(base + "/cpu.cfs_period_us") {
            limits.lower(cpuTime: quota + " " + period)
          }
        }
      }
    }
    return limits
  }

  /// `path` and every group that contains it. The lowest limit applies; and in a container the path is often the
  /// host's, with the container's own group mounted as the root.
  private static func ancestors(_ path: String) -> [String] {
    var parts = path.split(separator: "/")
    var paths: [String] = []
    while !parts.isEmpty {
      paths.append("/" + parts.joined(separator: "/"))
      parts.removeLast()
    }
    return paths + [""]
  }

  private mutating func lower(memory text: String?) {
    // "max" is not a number; version 1 writes an enormous one instead, which is never the lowest.
    guard let text, let bytes = Int(text.filter { !$0.isWhitespace }), bytes > 0 else { return }
    memory = min(memory ?? .max, bytes)
  }

  private mutating func lower(tasks text: String?, running: String?) {
    guard let text, let most = Int(text.filter { !$0.isWhitespace }), most >= 0 else { return }
    let running = running.flatMap { Int($0.filter { !$0.isWhitespace }) } ?? 0
    tasks = min(tasks ?? .max, max(0, most - max(0, running)))
  }

  private mutating func lower(cpuTime text: String?) {
    // Microseconds of CPU time in each period of so many; "max" or -1 without a limit.
    let numbers = (text ?? "").split(whereSeparator: \.isWhitespace).map { Int($0) }
    guard numbers.count == 2, let quota = numbers[0], let period = numbers[1], quota > 0, period > 0 else { return }
    cpuTime = min(cpuTime ?? .infinity, Double(quota) / Double(period))
  }
}
