import FoundationEssentials

/// What a storm measured, phase by phase.
public struct StormReport: Sendable {
  public struct Phase: Sendable {
    public let name: String
    public let done: Int
    /// Connections that the relay ended instead.
    public let refused: Int
    public let latency: LatencyHistogram
    public let seconds: Double
    let relay: ProcessUse?
    let generator: ProcessUse

    init(name: String, done: Int, refused: Int, latency: LatencyHistogram, from: Reading, to: Reading) {
      self.name = name
      self.done = done
      self.refused = refused
      self.latency = latency
      seconds = Double(to.time - from.time) / 1e9
      generator = ProcessUse(from: from.generator, to: to.generator)
      if let first = from.relay, let last = to.relay {
        relay = ProcessUse(from: first, to: last)
      } else {
        relay = nil
      }
    }

    public var perSecond: Double { seconds > 0 ? Double(done) / seconds : 0 }
    /// Nanoseconds of the relay's CPU, handshake workers included, for each.
    public var relayTime: Double? { relay.map { done > 0 ? Double($0.total) / Double(done) : 0 } }
    var generatorTime: Double { done > 0 ? Double(generator.total) / Double(done) : 0 }
  }

  public let plan: StormPlan
  public internal(set) var phases: [Phase] = []
  public internal(set) var complaints: [String] = []

  init(_ plan: StormPlan) {
    self.plan = plan
  }

  /// Whether everybody got in.
  public var isClean: Bool {
    complaints.isEmpty && !phases.isEmpty && phases.allSatisfy { $0.done == plan.clients && $0.refused == 0 }
  }

  /// The report for people.
  public var text: String {
    var lines = ["\(plan.mode.rawValue): \(plan.clients) clients, \(plan.concurrency) at a time"]
    for phase in phases {
      var line = "  \(phase.name): \(phase.done) in \(fixed(phase.seconds, 2)) s, \(fixed(phase.perSecond, 0)) a second"
      if phase.refused > 0 { line += ", \(phase.refused) REFUSED" }
      if let time = phase.relayTime, time > 0 {
        line += "; relay CPU \(fixed(time / 1000, 1)) us each, \(fixed(1e9 / time, 0)) a second a core"
      }
      let (median, high) = (phase.latency.percentile(0.5) ?? 0, phase.latency.percentile(0.99) ?? 0)
      line += "; p50 \(fixed(Double(median) / 1000, 0)) us, p99 \(fixed(Double(high) / 1000, 0)) us"
      lines.append(line)
    }
    return (lines + complaints.map { "  backend: " + $0 }).joined(separator: "\n")
  }

  /// The last phase as one JSON object, with the names of a ``LoadReport`` where they mean the same, and all phases.
  public func json() throws -> String {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    encoder.keyEncodingStrategy = .convertToSnakeCase
    let all = phases.map(Record.init)
    // The first return is the one that costs the relay a shared secret.
    let main = plan.mode == .connect ? all[0] : all[1]
    return String(
      decoding: try encoder.encode(
        Whole(
          mode: plan.mode.rawValue, clients: plan.clients, concurrency: plan.concurrency, clean: isClean,
          packetsPerSecond: main.perSecond, relayCpuNs: main.relayCpuNs, latencyP50Ns: main.latencyP50Ns,
          latencyP99Ns: main.latencyP99Ns, phases: all)), as: UTF8.self)
  }

  private struct Whole: Encodable {
    let mode: String
    let clients: Int
    let concurrency: Int
    let clean: Bool
    let packetsPerSecond: Double
    let relayCpuNs: Double?
    let latencyP50Ns: UInt64?
    let latencyP99Ns: UInt64?
    let phases: [Record]
  }

  private struct Record: Encodable {
    let name: String
    let done: Int
    let refused: Int
    let perSecond: Double
    let relayCpuNs: Double?
    let generatorCpuNs: Double
    let latencyP50Ns: UInt64?
    let latencyP99Ns: UInt64?

    init(_ phase: Phase) {
      name = phase.name
      done = phase.done
      refused = phase.refused
      perSecond = phase.perSecond
      relayCpuNs = phase.relayTime
      generatorCpuNs = phase.generatorTime
      latencyP50Ns = phase.latency.percentile(0.5)
      latencyP99Ns = phase.latency.percentile(0.99)
    }
  }
}
