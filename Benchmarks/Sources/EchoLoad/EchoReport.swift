/// What a run measured. Times a round trip are nanoseconds; figures that need the relay's process are nil without it.
public struct EchoReport: Sendable {
  /// Who set the pace.
  public enum Limit: String, Sendable, Encodable {
    /// A thread of the load generator ran nearly all the time, and none of the relay's did: the relay can do more than
    /// these round trips a second, and its cost a round trip is that of a relay that is not busy.
    case generator
    /// A thread of the relay ran nearly all the time.
    case relay
    case both
    /// Neither did: the window and the wake-ups set the pace.
    case latency
    /// The relay's process was not named.
    case unknown
  }

  /// A thread that ran for this share of the time counts as busy.
  static let busyShare = 0.9

  public let plan: EchoPlan
  public internal(set) var connectSeconds = 0.0
  public internal(set) var drainSeconds = 0.0
  public internal(set) var seconds = 0.0
  /// In the measurement.
  public internal(set) var roundTrips: UInt64 = 0
  /// From the first packet to the last, warm-up and drain included: all of them were checked.
  public internal(set) var totalRoundTrips: UInt64 = 0
  public internal(set) var faults = Faults()
  public internal(set) var complaints: [String] = []
  /// The measurement ended early because nothing came back any more.
  public internal(set) var stalled = false

  var latency = LatencyHistogram()
  var relay: ProcessUse?
  var generator: ProcessUse?
  var machine = MachineSample()
  public internal(set) var relayIdleBytes: UInt64?
  public internal(set) var relayConnectedBytes: UInt64?
  public internal(set) var relayLoadedBytes: UInt64?

  init(_ plan: EchoPlan) {
    self.plan = plan
  }

  mutating func fill(roundTrips: UInt64, from start: Reading, to end: Reading) {
    self.roundTrips = roundTrips
    seconds = Double(end.time - start.time) / 1e9
    generator = ProcessUse(from: start.generator, to: end.generator)
    machine = end.machine - start.machine
    if let first = start.relay, let last = end.relay {
      relay = ProcessUse(from: first, to: last)
      relayLoadedBytes = last.residentBytes
    }
  }

  /// Whether every echo came, once, in order and unchanged.
  public var isClean: Bool { faults.isEmpty && !stalled && complaints.isEmpty && totalRoundTrips > 0 }

  public var roundTripsPerSecond: Double { seconds > 0 ? Double(roundTrips) / seconds : 0 }

  public var limit: Limit {
    guard let relay, let generator, seconds > 0 else { return .unknown }
    switch (share(generator.busiestRunning) > EchoReport.busyShare, share(relay.busiestRunning) > EchoReport.busyShare)
    {
    case (true, false): return .generator
    case (false, true): return .relay
    case (true, true): return .both
    case (false, false): return .latency
    }
  }

  /// CPU time of processes that are neither relay nor generator; nil where the relay is not known.
  var othersTime: UInt64? {
    guard let relay, let generator else { return nil }
    let known = relay.total + generator.total
    return machine.busy > known ? machine.busy - known : 0
  }

  func each(_ nanoseconds: UInt64) -> Double { roundTrips > 0 ? Double(nanoseconds) / Double(roundTrips) : 0 }
  func share(_ nanoseconds: UInt64) -> Double { seconds > 0 ? Double(nanoseconds) / (seconds * 1e9) : 0 }

  /// Bytes of the relay's memory that each client took, connected and idle.
  var bytesPerClient: Double? {
    guard let idle = relayIdleBytes, let connected = relayConnectedBytes else { return nil }
    return (Double(connected) - Double(idle)) / Double(plan.clients)
  }
}
