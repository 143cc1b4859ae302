import CBench
import Glibc

/// Counts the system calls of all threads that a process has now, by the kernel's own tracepoint. What a relay asks of
/// io_uring without a call is not in it. Counting needs root or a low `kernel.perf_event_paranoid`.
struct SystemCallCounter: ~Copyable {
  private var counters: [Int32] = []

  /// Nil where counting is not allowed.
  init?(_ pid: Int32) {
    let tracepoint = "/events/raw_syscalls/sys_enter/id"
    guard
      let text = ProcFile.text("/sys/kernel/tracing" + tracepoint)
        ?? ProcFile.text("/sys/kernel/debug/tracing" + tracepoint),
      let id = UInt64(text.prefix { $0.isNumber })
    else { return nil }
    for thread in ProcFile.names("/proc/\(pid)/task").compactMap({ Int32($0) }) {
      let counter = cbench_tracepoint_counter(id, thread)
      if counter >= 0 { counters.append(counter) }
    }
    if counters.isEmpty { return nil }
  }

  deinit {
    for counter in counters { close(counter) }
  }

  func start() {
    for counter in counters { _ = cbench_counter_start(counter) }
  }

  var count: UInt64 {
    counters.reduce(0) { sum, counter in
      var count: UInt64 = 0
      return read(counter, &count, 8) == 8 ? sum + count : sum
    }
  }
}
