import FoundationEssentials

extension LoadReport {
  /// The report for people.
  public var text: String {
    var lines: [String] = []
    func line(_ name: String, _ value: String) {
      lines.append("  " + name + String(repeating: " ", count: max(1, 24 - name.count)) + value)
    }

    lines.append(
      "\(plan.mode.rawValue): \(plan.clients) client\(plan.clients == 1 ? "" : "s")"
        + (plan.stalled == 0 ? "" : " (\(plan.stalled) of them stalled)") + ", \(plan.sizes) B, "
        + (plan.window.map { "window \($0), " } ?? "\(fixed(plan.rate ?? 0, 0)) a second, ")
        + "\(fixed(seconds, 2)) s after \(fixed(plan.warmup, 1)) s of warm-up"
        + (plan.congestionControl.map { ", \($0)" } ?? ""))
    line("connected in", "\(fixed(connectSeconds * 1000, 1)) ms")
    line(
      "\(unit)s",
      "\(packets)  (\(fixed(packetsPerSecond, 0)) a second, \(fixed(megabytesPerSecond, 1)) MB/s; "
        + "\(totalPackets) checked in all)")
    line("faults", faultText)
    if latency.total > 0 {
      let figures = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999), ("max", 1)]
      line(
        "latency",
        figures.map { "\($0) \(microseconds(latency.percentile($1) ?? 0))" }.joined(separator: ", ")
          + (plan.rate == nil ? "" : ", from when it was due"))
    }
    if packets > 0 { addCosts(line) }
    if plan.mode == .idle, let relay {
      line(
        "relay meanwhile",
        "\(percent(share(relay.total))) of a CPU, \(relay.voluntarySwitches) wake-ups in \(fixed(seconds, 1)) s")
    }
    if let others = othersTime {
      line(
        "other processes",
        "\(percent(share(others))) of a CPU; taken by the hypervisor \(percent(share(machine.stolen)))")
    }
    if let idle = relayIdleBytes, let connected = relayConnectedBytes, let loaded = relayLoadedBytes {
      line(
        "relay memory",
        "\(mebibytes(idle)) idle, \(mebibytes(connected)) connected\(memoryPerClient), "
          + "\(mebibytes(loaded)) loaded")
    }
    if plan.mode != .idle { line("pace set by", limitText) }
    for complaint in complaints { line("backend", complaint) }
    for note in notes { lines.append("  note: " + note) }
    return lines.joined(separator: "\n")
  }

  /// What each packet cost whom.
  private func addCosts(_ line: (String, String) -> Void) {
    if let relay {
      line(
        "relay CPU",
        "\(fixed(each(relay.total), 0)) ns a \(unit)  (user \(fixed(each(relay.user), 0)), "
          + "system \(fixed(each(relay.system), 0)); busiest thread \(percent(share(relay.busiestRunning))))")
      if relay.runningByName.count > 1 {
        let threads = relay.runningByName.sorted { $0.value > $1.value }
        line("relay threads", threads.map { "\($0.key) \(fixed(each($0.value), 0))" }.joined(separator: ", ") + " ns")
      }
      line(
        "relay switches",
        "\(fixed(each(relay.voluntarySwitches), 3)) voluntary, \(fixed(each(relay.involuntarySwitches), 3)) not, a "
          + unit)
    }
    if let share = userShare { line("relay in user space", "\(percent(share)) of its CPU time, sampled") }
    if let calls = systemCallsPerPacket { line("relay system calls", "\(fixed(calls, 3)) a \(unit)") }
    if let backend {
      let time = fixed(each(UInt64(max(0, backend.time))), 1)
      line("backend", "\(time) ns a \(unit) to make and send, \(fixed(each(backend.bytes), 0)) B to the relay")
    }
    if let generator {
      line(
        "generator CPU",
        "\(fixed(each(generator.total), 0)) ns a \(unit)  (busiest thread "
          + "\(percent(share(generator.busiestRunning))), "
          + "waiting for a CPU \(percent(share(generator.busiestWaiting))))"
      )
    }
    line(
      "machine CPU",
      "\(fixed(each(machine.busy), 0)) ns a \(unit), of it softirq \(fixed(each(machine.softirq), 0)), softirq threads "
        + fixed(each(machine.softirqThreads), 0)
    )
  }

  /// What the reader must know before comparing these figures.
  var notes: [String] {
    var notes: [String] = []
    if limit == .generator {
      notes.append("the load generator was the bottleneck: the relay can do more \(unit)s a second than these")
    }
    if let others = othersTime, share(others) > 0.1 {
      notes.append("other processes used \(percent(share(others))) of a CPU: measure again on a quiet machine")
    }
    if share(machine.stolen) > 0.05 { notes.append("the hypervisor took CPU time away: measure again") }
    if !measuredSomething { notes.append("nothing was measured: no \(unit) was over in the measurement") }
    if stalled { notes.append("nothing came back for \(plan.drainTimeout) s: the run was ended early") }
    return notes + missingFigures
  }

  private var unit: String { plan.mode.unit }
  private var megabytesPerSecond: Double { seconds > 0 ? Double(bytes) / seconds / 1e6 : 0 }

  private var faultText: String {
    guard !faults.isEmpty else { return "none" }
    return [
      ("corrupt", faults.corrupt), ("of wrong size", faults.wrongSize), ("out of order", faults.outOfOrder),
      ("duplicate", faults.duplicates), ("lost", faults.lost), ("clients closed", faults.closed),
    ].filter { $0.1 > 0 }.map { "\($0.1) \($0.0)" }.joined(separator: ", ")
  }

  /// With few clients a page more or less is all that would be seen.
  private var memoryPerClient: String {
    guard plan.clients >= 100, let bytes = bytesPerClient else { return "" }
    return " (\(fixed(bytes, 0)) B a client)"
  }

  private var limitText: String {
    switch limit {
    case .generator: "the load generator"
    case .relay: "the relay"
    case .both: "relay and load generator alike"
    case .latency: "latency: neither relay nor generator was busy all the time"
    case .unknown: "unknown, without --relay-pid"
    }
  }

  private func microseconds(_ nanoseconds: UInt64) -> String { "\(fixed(Double(nanoseconds) / 1000, 1)) us" }
  private func percent(_ share: Double) -> String { "\(fixed(share * 100, 1)) %" }
  private func mebibytes(_ bytes: UInt64) -> String { "\(fixed(Double(bytes) / 1_048_576, 1)) MiB" }
}
