/// What a run measured. Times a packet (a round trip, where it comes back) are nanoseconds; figures that need the
/// relay's process are nil without it.
public struct LoadReport: Sendable {
  /// Which side set the pace.
  public enum Limit: String, Sendable, Encodable {
    /// A thread of the load generator ran nearly all the time, and none of the relay's did: the relay can do more than
    /// these packets a second, and its cost a packet is that of a relay that is not busy.
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

  public let plan: LoadPlan
  public internal(set) var connectSeconds = 0.0
  public internal(set) var drainSeconds = 0.0
  public internal(set) var seconds = 0.0
  /// In the measurement.
  public internal(set) var packets: UInt64 = 0
  /// Their bytes, size prefixes included.
  public internal(set) var bytes: UInt64 = 0
  /// From the first packet to the last, warm-up and drain included: all of them were checked.
  public internal(set) var totalPackets: UInt64 = 0
  public internal(set) var faults = Faults()
  public internal(set) var complaints: [String] = []
  /// The measurement ended early because nothing came back any more.
  public internal(set) var stalled = false

  public internal(set) var latency = LatencyHistogram()
  var systemCallsPerPacket: Double?
  /// Of the relay's CPU time, sampled.
  var userShare: Double?
  /// Which figures were asked for and are not there, and why.
  var missingFigures: [String] = []
  /// What the backend sent, where packets are its own.
  var backend: BackendUse?
  var relay: ProcessUse?
  var generator: ProcessUse?
  var machine = MachineSample()
  public internal(set) var relayIdleBytes: UInt64?
  public internal(set) var relayConnectedBytes: UInt64?
  public internal(set) var relayLoadedBytes: UInt64?

  init(_ plan: LoadPlan) {
    self.plan = plan
  }

  mutating func fill(packets: UInt64, bytes: UInt64, _ use: (from: Reading, to: Reading)) {
    self.packets = packets
    self.bytes = bytes
    seconds = Double(use.to.time - use.from.time) / 1e9
    generator = ProcessUse(from: use.from.generator, to: use.to.generator)
    machine = use.to.machine - use.from.machine
    if let first = use.from.relay, let last = use.to.relay {
      relay = ProcessUse(from: first, to: last)
      relayLoadedBytes = last.residentBytes
    }
  }

  /// Whether every packet came, once, in order and unchanged, and some of them in the measurement.
  public var isClean: Bool { faults.isEmpty && !stalled && complaints.isEmpty && measuredSomething }

  /// Whether there are figures of packets; of an idle crowd, whether it answered at the end.
  var measuredSomething: Bool { plan.mode == .idle ? totalPackets > 0 : packets > 0 }

  public var packetsPerSecond: Double { seconds > 0 ? Double(packets) / seconds : 0 }

  public var limit: Limit {
    guard let relay, let generator, seconds > 0 else { return .unknown }
    switch (share(generator.busiestRunning) > LoadReport.busyShare, share(relay.busiestRunning) > LoadReport.busyShare)
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

  func each(_ nanoseconds: UInt64) -> Double { packets > 0 ? Double(nanoseconds) / Double(packets) : 0 }
  func share(_ nanoseconds: UInt64) -> Double { seconds > 0 ? Double(nanoseconds) / (seconds * 1e9) : 0 }

  /// Bytes of the relay's memory that each client took, connected and idle.
  var bytesPerClient: Double? {
    guard let idle = relayIdleBytes, let connected = relayConnectedBytes else { return nil }
    return (Double(connected) - Double(idle)) / Double(plan.clients)
  }
}
