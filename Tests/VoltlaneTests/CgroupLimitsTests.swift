import Testing

@testable import Voltlane

@Suite struct CgroupLimitsTests {
  func limits(_ files: [String: String]) -> CgroupLimits {
    CgroupLimits.read { files[$0] }
  }

  @Test func noFilesNoLimits() {
    #expect(limits([:]) == CgroupLimits())
    #expect(limits(["/proc/self/cgroup": "nonsense\n\n::\n"]) == CgroupLimits())
  }

  @Test func version2() {
    let files = [
      "/proc/self/cgroup": "0::/system.slice/voltlane.service\n",
      "/sys/fs/cgroup/system.slice/voltlane.service/memory.max": "max\n",
      "/sys/fs/cgroup/system.slice/voltlane.service/cpu.max": "250000 100000\n",
      "/sys/fs/cgroup/system.slice/memory.max": "1073741824\n",
      "/sys/fs/cgroup/system.slice/cpu.max": "max 100000\n",
    ]
    // The least limit on the way to the root holds.
    #expect(limits(files) == CgroupLimits(memory: 1 << 30, cpuTime: 2.5))
  }

  @Test func containerWithVersion2() {
    let files = [
      "/proc/self/cgroup": "0::/\n", "/sys/fs/cgroup/memory.max": "536870912\n",
      "/sys/fs/cgroup/cpu.max": "50000 100000\n",
    ]
    #expect(limits(files) == CgroupLimits(memory: 512 << 20, cpuTime: 0.5))
  }

  @Test func containerWithVersion1() {
    // The path is the host's; inside, the container's group is the root.
    let files = [
      "/proc/self/cgroup": "5:memory:/docker/abc\n4:cpu,cpuacct:/docker/abc\n0::/docker/abc\n",
      "/sys/fs/cgroup/memory/memory.limit_in_bytes": "268435456\n",
      "/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "400000\n",
      "/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000\n",
    ]
    #expect(limits(files) == CgroupLimits(memory: 256 << 20, cpuTime: 4))
  }

  @Test func version1WithoutLimits() {
    let files = [
      "/proc/self/cgroup": "5:memory:/\n4:cpu:/\n",
      "/sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
      "/sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n", "/sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
    ]
    let found = limits(files)
    #expect(found.cpuTime == nil)
    #expect(found.memory == 9_223_372_036_854_771_712)
  }

  // MARK: Threads

  @Test func threadsOfVersion2() {
    var files = [
      "/proc/self/cgroup": "0::/system.slice/voltlane.service\n",
      "/sys/fs/cgroup/system.slice/voltlane.service/pids.max": "max\n",
      "/sys/fs/cgroup/system.slice/voltlane.service/pids.current": "1\n",
      "/sys/fs/cgroup/system.slice/pids.max": "64\n", "/sys/fs/cgroup/system.slice/pids.current": "24\n",
    ]
    // What others of the group have started is gone.
    #expect(limits(files) == CgroupLimits(tasks: 40))
    files["/sys/fs/cgroup/system.slice/pids.current"] = nil
    #expect(limits(files) == CgroupLimits(tasks: 64))
    files["/sys/fs/cgroup/system.slice/pids.current"] = "70\n"
    #expect(limits(files) == CgroupLimits(tasks: 0))
  }

  @Test func threadsOfVersion1() {
    let files = [
      "/proc/self/cgroup": "8:pids:/docker/abc\n0::/docker/abc\n", "/sys/fs/cgroup/pids/pids.max": "100\n",
      "/sys/fs/cgroup/pids/pids.current": "1\n",
    ]
    #expect(limits(files) == CgroupLimits(tasks: 99))
  }

  /// The kernel slows a group down that exceeds it.
  @Test func memoryThatIsThrottled() {
    let files = [
      "/proc/self/cgroup": "0::/\n", "/sys/fs/cgroup/memory.max": "536870912\n",
      "/sys/fs/cgroup/memory.high": "268435456\n",
    ]
    #expect(limits(files) == CgroupLimits(memory: 256 << 20))
  }

  /// Shards, and with them threads, are as many as may be started; a relay that may hardly start any has one.
  @Test(arguments: [(nil, 16, 4), (1000, 16, 4), (20, 8, 2), (12, 1, 1), (3, 1, 1), (0, 1, 1)])
  func shardsFollowTheLimitOfThreads(tasks: Int?, shards: Int, workers: Int) throws {
    var machine = Machine.test(cpuCount: 16)
    machine.tasks = tasks
    let relay = try configure([], on: machine).relay
    #expect(relay.shards == shards && relay.threads == .upTo(shards) && relay.handshakeWorkers == workers)
    let pinned = try configure(["--cpus", "0-15"], on: machine).relay
    #expect(pinned.shards == shards)
  }

  @Test func thisMachine() {
    let machine = Machine.current()
    #expect(!machine.allowedCPUs.isEmpty && machine.allowedCPUs == machine.allowedCPUs.sorted())
    #expect(machine.cpuCount >= 1 && machine.cpuCount <= machine.allowedCPUs.count)
    #expect(machine.memory > 1 << 20 && machine.memory < 1 << 50)
    if let names = machine.congestionControls { #expect(names.contains("reno")) }
  }
}
