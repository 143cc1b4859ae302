import FoundationEssentials

extension LoadReport {
  /// The report as one JSON object, names in snake case. Those with `cpu_ns` are nanoseconds a packet; what was not
  /// measured is absent.
  public func json() throws -> String {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    encoder.keyEncodingStrategy = .convertToSnakeCase
    return String(decoding: try encoder.encode(Record(self)), as: UTF8.self)
  }

  private struct Record: Encodable {
    let mode: String
    let clients: Int
    let stalledClients: Int
    let size: String
    let window: Int?
    let rate: Double?
    let plain: Bool
    let multicast: Bool
    let congestionControl: String?
    let backendThread: Bool
    let seconds: Double
    let connectSeconds: Double
    let drainSeconds: Double
    let packets: UInt64
    let packetsTotal: UInt64
    let packetsPerSecond: Double
    let bytesPerSecond: Double
    let clean: Bool
    let corrupt: Int
    let wrongSize: Int
    let lost: Int
    let outOfOrder: Int
    let duplicates: Int
    let clientsClosed: Int
    let endedEarly: Bool
    let latencyP50Ns: UInt64?
    let latencyP90Ns: UInt64?
    let latencyP99Ns: UInt64?
    let latencyP999Ns: UInt64?
    let latencyMaxNs: UInt64?
    let relayCpuNs: Double?
    let relayUserNs: Double?
    let relaySystemNs: Double?
    let relayUserShare: Double?
    let relayCpuShare: Double?
    let relayBusiestThreadShare: Double?
    /// Of each thread by its name.
    let relayThreadsNs: [String: Double]?
    let relayVoluntarySwitches: Double?
    let relayInvoluntarySwitches: Double?
    let relaySystemCalls: Double?
    let relayIdleBytes: UInt64?
    let relayConnectedBytes: UInt64?
    let relayLoadedBytes: UInt64?
    let relayBytesPerClient: Double?
    /// What the backend took to make and send its own packets, and the bytes that went to the relay.
    let backendCpuNs: Double?
    let firehoseBytes: Double?
    let generatorCpuNs: Double?
    let generatorBusiestThreadShare: Double?
    let generatorWaitingShare: Double?
    let machineCpuNs: Double
    let machineSoftirqNs: Double
    let machineSoftirqThreadsNs: Double
    let otherProcessesShare: Double?
    let stolenShare: Double
    let limitedBy: Limit
    let notes: [String]

    init(_ report: LoadReport) {
      mode = report.plan.mode.rawValue
      clients = report.plan.clients
      stalledClients = report.plan.stalled
      size = report.plan.sizes.description
      window = report.plan.window
      rate = report.plan.rate
      plain = report.plan.isPlain
      multicast = report.plan.isMulticast
      congestionControl = report.plan.congestionControl
      backendThread = report.plan.backendThread
      seconds = report.seconds
      connectSeconds = report.connectSeconds
      drainSeconds = report.drainSeconds
      packets = report.packets
      packetsTotal = report.totalPackets
      packetsPerSecond = report.packetsPerSecond
      bytesPerSecond = report.seconds > 0 ? Double(report.bytes) / report.seconds : 0
      clean = report.isClean
      corrupt = report.faults.corrupt
      wrongSize = report.faults.wrongSize
      lost = report.faults.lost
      outOfOrder = report.faults.outOfOrder
      duplicates = report.faults.duplicates
      clientsClosed = report.faults.closed
      endedEarly = report.stalled
      latencyP50Ns = report.latency.percentile(0.5)
      latencyP90Ns = report.latency.percentile(0.9)
      latencyP99Ns = report.latency.percentile(0.99)
      latencyP999Ns = report.latency.percentile(0.999)
      latencyMaxNs = report.latency.percentile(1)
      relayCpuNs = report.relay.map { report.each($0.total) }
      relayUserNs = report.relay.map { report.each($0.user) }
      relaySystemNs = report.relay.map { report.each($0.system) }
      relayUserShare = report.userShare
      relayCpuShare = report.relay.map { report.share($0.total) }
      relayBusiestThreadShare = report.relay.map { report.share($0.busiestRunning) }
      relayThreadsNs = report.relay.map { $0.runningByName.mapValues(report.each) }
      relayVoluntarySwitches = report.relay.map { report.each($0.voluntarySwitches) }
      relayInvoluntarySwitches = report.relay.map { report.each($0.involuntarySwitches) }
      relaySystemCalls = report.systemCallsPerPacket
      relayIdleBytes = report.relayIdleBytes
      relayConnectedBytes = report.relayConnectedBytes
      relayLoadedBytes = report.relayLoadedBytes
      relayBytesPerClient = report.bytesPerClient
      backendCpuNs = report.backend.map { report.each(UInt64(max(0, $0.time))) }
      firehoseBytes = report.backend.map { report.each($0.bytes) }
      generatorCpuNs = report.generator.map { report.each($0.total) }
      generatorBusiestThreadShare = report.generator.map { report.share($0.busiestRunning) }
      generatorWaitingShare = report.generator.map { report.share($0.busiestWaiting) }
      machineCpuNs = report.each(report.machine.busy)
      machineSoftirqNs = report.each(report.machine.softirq)
      machineSoftirqThreadsNs = report.each(report.machine.softirqThreads)
      otherProcessesShare = report.othersTime.map { report.share($0) }
      stolenShare = report.share(report.machine.stolen)
      limitedBy = report.limit
      notes = report.notes + report.complaints
    }
  }
}
