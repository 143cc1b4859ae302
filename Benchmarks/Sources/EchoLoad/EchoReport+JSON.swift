import FoundationEssentials

extension EchoReport {
  /// The report as one JSON object, names in snake case. Those with `_ns` are nanoseconds a round trip; what was not
  /// measured is absent.
  public func json() throws -> String {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    encoder.keyEncodingStrategy = .convertToSnakeCase
    return String(decoding: try encoder.encode(Record(self)), as: UTF8.self)
  }

  private struct Record: Encodable {
    let clients: Int
    let size: Int
    let window: Int
    let congestionControl: String?
    let backendThread: Bool
    let seconds: Double
    let connectSeconds: Double
    let drainSeconds: Double
    let roundTrips: UInt64
    let roundTripsTotal: UInt64
    let roundTripsPerSecond: Double
    let clean: Bool
    let errors: Int
    let corrupt: Int
    let wrongSize: Int
    let lost: Int
    let outOfOrder: Int
    let duplicates: Int
    let clientsClosed: Int
    let stalled: Bool
    let latencyP50Ns: UInt64?
    let latencyP99Ns: UInt64?
    let relayCpuNs: Double?
    let relayUserNs: Double?
    let relaySystemNs: Double?
    let relayBusiestThreadShare: Double?
    let relayVoluntarySwitches: Double?
    let relayIdleBytes: UInt64?
    let relayConnectedBytes: UInt64?
    let relayLoadedBytes: UInt64?
    let relayBytesPerClient: Double?
    let generatorCpuNs: Double?
    let generatorBusiestThreadShare: Double?
    let generatorWaitingShare: Double?
    let machineCpuNs: Double
    let machineSoftirqNs: Double
    let otherProcessesShare: Double?
    let stolenShare: Double
    let limitedBy: Limit
    let notes: [String]

    init(_ report: EchoReport) {
      clients = report.plan.clients
      size = report.plan.size
      window = report.plan.window
      congestionControl = report.plan.congestionControl
      backendThread = report.plan.backendThread
      seconds = report.seconds
      connectSeconds = report.connectSeconds
      drainSeconds = report.drainSeconds
      roundTrips = report.roundTrips
      roundTripsTotal = report.totalRoundTrips
      roundTripsPerSecond = report.roundTripsPerSecond
      clean = report.isClean
      errors = report.faults.corrupt + report.faults.wrongSize + report.faults.duplicates + report.faults.closed
      corrupt = report.faults.corrupt
      wrongSize = report.faults.wrongSize
      lost = report.faults.lost
      outOfOrder = report.faults.outOfOrder
      duplicates = report.faults.duplicates
      clientsClosed = report.faults.closed
      stalled = report.stalled
      latencyP50Ns = report.latency.percentile(0.5)
      latencyP99Ns = report.latency.percentile(0.99)
      relayCpuNs = report.relay.map { report.each($0.total) }
      relayUserNs = report.relay.map { report.each($0.user) }
      relaySystemNs = report.relay.map { report.each($0.system) }
      relayBusiestThreadShare = report.relay.map { report.share($0.busiestRunning) }
      relayVoluntarySwitches = report.relay.map { report.each($0.voluntarySwitches) }
      relayIdleBytes = report.relayIdleBytes
      relayConnectedBytes = report.relayConnectedBytes
      relayLoadedBytes = report.relayLoadedBytes
      relayBytesPerClient = report.bytesPerClient
      generatorCpuNs = report.generator.map { report.each($0.total) }
      generatorBusiestThreadShare = report.generator.map { report.share($0.busiestRunning) }
      generatorWaitingShare = report.generator.map { report.share($0.busiestWaiting) }
      machineCpuNs = report.each(report.machine.busy)
      machineSoftirqNs = report.each(report.machine.softirq)
      otherProcessesShare = report.othersTime.map { report.share($0) }
      stolenShare = report.share(report.machine.stolen)
      limitedBy = report.limit
      notes = report.notes + report.complaints
    }
  }
}
