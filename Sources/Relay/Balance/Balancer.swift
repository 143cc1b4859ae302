/// Measures a few times a second, and asks for at most one move at a time.
struct Balancer {
  private var meter: LoadMeter
  private var balance = Balance()
  private let whereabouts: [Whereabouts]
  /// When to look again, on the machine's clock.
  private(set) var due: UInt64 = 0

  init(_ meter: LoadMeter, _ whereabouts: [Whereabouts]) {
    self.meter = meter
    self.whereabouts = whereabouts
  }

  private var hasToldUnknown = false

  /// Whether it has just been found that nobody says whether CPUs are idle. True once.
  mutating func takeIdlenessUnknown() -> Bool {
    guard meter.idlenessIsUnknown, !hasToldUnknown else { return false }
    hasToldUnknown = true
    return true
  }

  /// What is to be moved now, if anything.
  mutating func look(now: UInt64) -> Balance.Move? {
    guard now >= due else { return nil }
    due = now &+ Limits.balanceInterval
    let measurement = meter.measure(now: now)
    // A role that is on its way does not count at either host.
    guard let measurement, whereabouts.allSatisfy({ $0.host == $0.wanted }) else { return nil }
    return balance.decide(measurement)
  }
}
