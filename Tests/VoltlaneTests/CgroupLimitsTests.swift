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
    #expect(limits(files) == CgroupLimits(memory: 1 << 30, cpus: 3))
  }

  @Test func containerWithVersion2() {
    let files = [
      "/proc/self/cgroup": "0::/\n", "/sys/fs/cgroup/memory.max": "536870912\n",
      "/sys/fs/cgroup/cpu.max": "50000 100000\n",
    ]
    #expect(limits(files) == CgroupLimits(memory: 512 << 20, cpus: 1))
  }

  @Test func containerWithVersion1() {
    // The path is the host's; inside, the container's group is the root.
    let files = [
      "/proc/self/cgroup": "5:memory:/docker/abc\n4:cpu,cpuacct:/docker/abc\n0::/docker/abc\n",
      "/sys/fs/cgroup/memory/memory.limit_in_bytes": "268435456\n",
      "/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "400000\n",
      "/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000\n",
    ]
    #expect(limits(files) == CgroupLimits(memory: 256 << 20, cpus: 4))
  }

  @Test func version1WithoutLimits() {
    let files = [
      "/proc/self/cgroup": "5:memory:/\n4:cpu:/\n",
      "/sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
      "/sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n", "/sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
    ]
    let found = limits(files)
    #expect(found.cpus == nil)
    #expect(found.memory == 9_223_372_036_854_771_712)
  }

  @Test func thisMachine() {
    let machine = Machine.current()
    #expect(!machine.allowedCPUs.isEmpty && machine.allowedCPUs == machine.allowedCPUs.sorted())
    #expect(machine.cpuCount >= 1 && machine.cpuCount <= machine.allowedCPUs.count)
    #expect(machine.memory > 1 << 20 && machine.memory < 1 << 50)
    if let names = machine.congestionControls { #expect(names.contains("reno")) }
  }
}
