/// What the program needs to know about the machine, and about its share of it.
struct Machine: Equatable, Sendable {
  /// The CPUs on which this process may run (its affinity mask), ascending. Never empty.
  var allowedCPUs: [Int]
  /// CPUs' worth of time that a cgroup allows, rounded up; nil without a limit.
  var cpuQuota: Int?
  /// The same, not rounded.
  var cpuTime: Double?
  /// Bytes of memory, or of the cgroup's limit if that is lower.
  var memory: Int
  /// Threads that may still be started; nil without a limit.
  var tasks: Int?
  /// Descriptors that this process may have.
  var descriptors = 1 << 20
  /// The congestion controls that the kernel has; nil if it does not say.
  var congestionControls: [String]?

  /// How many threads can run at a time.
  var cpuCount: Int { max(1, min(allowedCPUs.count, cpuQuota ?? .max)) }

  /// How many threads may serve clients: one for each of so many CPUs, as far as the limit of threads allows.
  func servingThreads(on cpus: Int) -> Int { max(1, min(cpus, tasks.map { ($0 - Self.otherThreads) * 4 / 5 } ?? .max)) }

  /// Threads that the program has besides those that serve clients and, for every four of them, one for handshakes: for
  /// the firehose, the log, names, reloads, and the admin endpoint.
  static let otherThreads = 10

  static let congestionControlFile = "/proc/sys/net/ipv4/tcp_available_congestion_control"

  /// This machine, as it is now.
  static func current() -> Machine {
    let cgroup = CgroupLimits.read(System.contents)
    let cpus = System.allowedCPUs()
    return Machine(
      allowedCPUs: cpus.isEmpty ? [0] : cpus,
      cpuQuota: cgroup.cpuTime.map { Int(min($0.rounded(.up), 1e9)) },
      cpuTime: cgroup.cpuTime,
      memory: min(System.memory(), cgroup.memory ?? .max),
      tasks: cgroup.tasks,
      descriptors: System.descriptors(),
      congestionControls: System.contents(of: congestionControlFile)?.split(whereSeparator: \.isWhitespace)
        .map(String.init))
  }
}
