import Relay

/// Memory and CPUs compared with the settings.
extension Preflight {
  /// The budgets may not allow more than there is.
  var memory: Finding {
    let relay = configuration.relay
    let budgets = relay.assemblyBudget + relay.missedPacketsTotal
    let (needed, there) = (Self.mebibytes(budgets), Self.mebibytes(machine.memory))
    let all = relay.protection.memoryBudget
    guard all <= machine.memory / 4 * 3 else {
      return .warn(
        "memory", "--memory-budget allows \(Self.mebibytes(all)) of \(there), and the kernel's buffers come on top",
        do: "leave it at auto, which is half, or raise the memory's limit")
    }
    guard budgets <= machine.memory / 2 else {
      return .warn(
        "memory", "the budgets allow \(needed) of \(there) before any client's buffer",
        do: "lower --assembly-budget and --missed-packets-total, or raise the memory's limit")
    }
    return .ok("memory", "\(there), of which --memory-budget allows \(Self.mebibytes(all))")
  }

  private static func mebibytes(_ bytes: Int) -> String { "\(bytes >> 20)MiB" }

  /// Threads that share a CPU make each other's clients wait.
  var threads: Finding {
    let relay = configuration.relay
    let count = min(relay.threads.most, relay.shards) + (relay.firehoseCore == .own ? 1 : 0)
    let cpuCount = relay.cpus.isEmpty ? machine.cpuCount : min(machine.cpuCount, relay.cpus.count)
    guard count <= cpuCount else {
      return .warn(
        "threads", "\(count) threads move packets on \(cpuCount) CPUs",
        do: "leave --threads and --firehose-core at auto, or give more CPUs")
    }
    return .ok("threads", "\(count) move packets, on \(cpuCount) CPUs")
  }

  /// The cgroup may not let the relay start all its threads. nil where it has no such limit.
  var tasks: Finding? {
    guard let tasks = machine.tasks else { return nil }
    let relay = configuration.relay
    let needed = relay.ringCount + Machine.otherThreads
    guard needed <= tasks else {
      return .warn(
        "threads' limit", "the relay may start \(needed) threads, and the cgroup leaves \(tasks)",
        do: "raise pids.max of the cgroup (TasksMax= in systemd, --pids-limit of a container), or lower --threads")
    }
    return .ok("threads' limit", "the cgroup leaves \(tasks), and the relay starts \(needed) at most")
  }

  /// A quota is not a number of CPUs: threads run on all of them, and then all stop together.
  var cpus: Finding {
    let allowed = configuration.relay.cpus.isEmpty ? machine.allowedCPUs : configuration.relay.cpus
    guard let quota = machine.cpuQuota, quota < allowed.count else {
      return .ok("CPUs", "\(CPUList(cpus: allowed)), with no quota below that")
    }
    let pinned = configuration.relay.cpus.isEmpty ? "may run" : "is pinned"
    return .warn(
      "CPUs",
      "the relay \(pinned) on \(allowed.count) CPUs, and the cgroup's quota is \(quota): it will be paused at times",
      do: "give whole CPUs (cpuset, AllowedCPUs=) instead of a quota (CPUQuota=, limits.cpu), or raise it")
  }
}
