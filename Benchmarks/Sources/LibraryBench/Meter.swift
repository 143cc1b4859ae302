import Glibc

/// Counts what comes at the relay's end between the warm-up and the end, and then stops the library.
struct Meter {
  private struct Figures {
    var packets: Int
    var seconds: Double
    var cpu: Double
  }

  private let relay: RawRelay
  private let measuring: Task<Figures, Never>

  /// `other`: the process that has the library, if it is not this one.
  init(
    _ plan: Plan, _ relay: RawRelay, _ other: OtherProgram? = nil, stop: @escaping @Sendable () async -> Void
  ) {
    self.relay = relay
    measuring = Task.detached {
      try? await Task.sleep(for: .seconds(plan.warmup))
      let (begin, first, cpu) = (ContinuousClock.now, relay.packetCount, Self.cpu(other))
      try? await Task.sleep(for: .seconds(plan.seconds))
      let last = relay.packetCount
      let seconds = (ContinuousClock.now - begin) / .seconds(1)
      let figures = Figures(packets: last - first, seconds: seconds, cpu: Self.cpu(other) - cpu)
      await stop()
      return figures
    }
  }

  /// Prints one JSON object. Ends the process with an error where a byte was wrong, or nothing came.
  func report() async throws {
    let figures = await measuring.value
    if let complaint = relay.complaint { throw Plan.Refused(description: complaint) }
    guard figures.packets > 0 else { throw Plan.Refused(description: "no packet came") }
    let rate = Double(figures.packets) / figures.seconds
    let cpu = figures.cpu / Double(figures.packets) * 1e9
    print(#"{"packets_per_second": \#(Int(rate)), "process_cpu_ns": \#(Int(cpu))}"#)
  }

  /// What the process took so far, in seconds.
  private static func cpu(_ other: OtherProgram?) -> Double {
    if let other { return other.cpu }
    var time = timespec()
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time)
    return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
  }
}
