import CBench
import Glibc

/// How much of its time a process spends in its own code, seen by looking where its threads are, again and again. The
/// ticks of /proc/PID/stat cannot tell: few fall into a run, and a process that sleeps and wakes falls in step with
/// them. Sampling needs root or a low `kernel.perf_event_paranoid`.
struct UserShareSampler: ~Copyable {
  /// A prime: no loop of the relay's falls in step with it.
  private static let period: UInt64 = 50_021
  /// A page of the kernel's own, and room for 16,000 samples a thread, of which none is read before the end.
  private static let mapped = (1 + 64) * Int(sysconf(Int32(_SC_PAGESIZE)))

  private var threads: [(sampler: Int32, memory: UnsafeMutableRawPointer)] = []

  /// Nil where sampling is not allowed.
  init?(_ pid: Int32) {
    for thread in ProcFile.names("/proc/\(pid)/task").compactMap({ Int32($0) }) {
      let sampler = cbench_sampler(UserShareSampler.period, thread)
      guard sampler >= 0 else { continue }
      guard let memory = mmap(nil, UserShareSampler.mapped, PROT_READ | PROT_WRITE, MAP_SHARED, sampler, 0),
        memory != MAP_FAILED
      else {
        close(sampler)
        continue
      }
      threads.append((sampler, memory))
    }
    if threads.isEmpty { return nil }
  }

  deinit {
    for (sampler, memory) in threads {
      munmap(memory, UserShareSampler.mapped)
      close(sampler)
    }
  }

  func start() {
    for (sampler, _) in threads { _ = cbench_counter_start(sampler) }
  }

  /// Between 0 and 1; nil where no thread has run.
  var share: Double? {
    var samples = cbench_samples()
    for (_, memory) in threads { cbench_samples_add(memory, &samples) }
    return samples.all > 0 ? Double(samples.user) / Double(samples.all) : nil
  }
}
