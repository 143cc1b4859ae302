import Glibc

/// A line a second on standard error, so that a long run can be watched.
struct Progress {
  private let unit: String
  private let begin = Clock.now()
  private var last: UInt64
  private var packets: UInt64

  init(_ plan: LoadPlan, _ clients: borrowing LoadClients) {
    unit = plan.mode.unit
    last = begin
    packets = clients.packets
  }

  mutating func show(_ clients: borrowing LoadClients, _ now: UInt64) {
    guard now - last >= 1_000_000_000 else { return }
    let rate = Double(clients.packets - packets) * 1e9 / Double(now - last)
    var line = "\((now - begin) / 1_000_000_000) s: \(fixed(rate, 0)) \(unit)s a second"
    if let high = clients.clock.latency.percentile(0.99) { line += ", p99 \(fixed(Double(high) / 1000, 1)) us" }
    if !clients.faults.isEmpty { line += ", FAULTS" }
    line += "\n"
    _ = line.withUTF8 { write(STDERR_FILENO, $0.baseAddress, $0.count) }
    (last, packets) = (now, clients.packets)
  }
}
