/// What the program needs to know about the machine, and about its share of it.
struct Machine: Equatable, Sendable {
  /// The CPUs on which this process may run (its affinity mask), ascending. Never empty.
  var allowedCPUs: [Int]
  /// CPUs' worth of time that a cgroup allows, rounded up; nil without a limit.
  var cpuQuota: Int?
  /// Bytes of memory, or of the cgroup's limit if that is lower.
  var memory: Int
  /// Descriptors that this process may have.
  var descriptors = 1 << 20
  /// The congestion controls that the kernel has; nil if it does not say.
  var congestionControls: [String]?

  /// How many threads can run at a time.
  var cpuCount: Int { max(1, min(allowedCPUs.count, cpuQuota ?? .max)) }

  static let congestionControlFile = "/proc/sys/net/ipv4/tcp_available_congestion_control"

  /// This machine, as it is now.
  static func current() -> Machine {
    let cgroup = CgroupLimits.read(System.contents)
    let cpus = System.allowedCPUs()
    return Machine(
      allowedCPUs: cpus.isEmpty ? [0] : cpus,
      cpuQuota: cgroup.cpus,
      memory: min(System.memory(), cgroup.memory ?? .max),
      descriptors: System.descriptors(),
      congestionControls: System.contents(of: congestionControlFile)?.split(whereSeparator: \.isWhitespace)
        .map(String.init))
  }
}
