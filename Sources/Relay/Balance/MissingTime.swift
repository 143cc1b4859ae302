/// How busy a thread is, where its CPU time does not say all.
///
/// Some kernels leave out of a thread's CPU time what interrupts took while it ran (CONFIG_IRQ_TIME_ACCOUNTING), and
/// most of a loopback's work is done in interrupts; under a hypervisor what was stolen is left out too. Such a thread
/// never seems to be full. What it did not sleep away and did not wait for a CPU, it was busy. So once a thread has
/// been on a CPU for so much of the time that the answer may matter, threads note for one measurement how long they
/// sleep. What was found holds for a while; then it is asked again.
struct MissingTime: Equatable {
  /// What a thread's CPU time has to be multiplied with, as last found.
  private(set) var factor = 1.0
  /// Measurements until threads may be watched again.
  private var pause = 0

  /// Whether a thread that has had so much may be full all the same.
  func matters(cpu: Double) -> Bool { (Limits.busyToSpread / 2..<Limits.busyToSpread).contains(cpu) }

  /// `slept`: nil if that was not noted.
  mutating func busy(cpu: Double, waited: Double, slept: Double?) -> Double {
    guard let slept, matters(cpu: cpu) else { return max(cpu, min(cpu * factor, 1 - waited)) }
    let busy = max(cpu, 1 - waited - slept)
    factor = busy - cpu < Limits.missingTime ? 1 : busy / cpu
    pause = Limits.missingTimePause
    return factor == 1 ? cpu : busy
  }

  /// Whether threads are to note how long they sleep until the next measurement.
  mutating func watches(isInDoubt: Bool) -> Bool {
    pause = max(0, pause - 1)
    return isInDoubt && pause == 0
  }
}
