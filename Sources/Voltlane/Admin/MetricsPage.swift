import Relay
import VoltlaneSettings

/// `/metrics`, in the text format of Prometheus.
struct MetricsPage {
  static let type = "text/plain; version=0.0.4; charset=utf-8"

  private let desk: AdminDesk
  private let observer: RelayObserver
  private(set) var text = ""

  init(_ desk: AdminDesk, _ observer: RelayObserver) {
    self.desk = desk
    self.observer = observer
    let begin = Relay.now
    for family in MetricFamily.all where family.source.reading != .scrapeSeconds { write(family) }
    if let family = MetricFamily.all.first(where: { $0.source.reading == .scrapeSeconds }) {
      head(family)
      line(family, [], Double(Relay.now - begin) / 1e9)
    }
  }

  private mutating func write(_ family: MetricFamily) {
    head(family)
    switch family.source {
    case .counted(let series):
      for (label, metric) in series { line(family, label.isEmpty ? [] : [label], observer[metric]) }
    case .distribution(let distribution): write(family, distribution)
    case .read(let reading):
      for (labels, value) in Readings.values(of: reading, desk, observer) { line(family, labels, value) }
    }
  }

  private mutating func write(_ family: MetricFamily, _ distribution: Distribution) {
    let (buckets, sum) = observer.distribution(distribution)
    var count: UInt64 = 0
    for (index, bound) in distribution.bounds.enumerated() {
      count &+= buckets[index]
      text += "\(family.name)_bucket{le=\"\(Decimal.text(Double(bound) / distribution.divisor))\"} \(count)\n"
    }
    count &+= buckets.last ?? 0
    text += "\(family.name)_bucket{le=\"+Inf\"} \(count)\n"
    text += "\(family.name)_sum \(Decimal.text(Double(sum) / distribution.divisor))\n"
    text += "\(family.name)_count \(count)\n"
  }

  private mutating func head(_ family: MetricFamily) {
    text += "# HELP \(family.name) \(family.help)\n# TYPE \(family.name) \(family.kind.rawValue)\n"
  }

  private mutating func line(_ family: MetricFamily, _ labels: [String], _ value: UInt64) {
    text += "\(family.name)\(Self.labels(family, labels)) \(value)\n"
  }

  private mutating func line(_ family: MetricFamily, _ labels: [String], _ value: Double) {
    text += "\(family.name)\(Self.labels(family, labels)) \(Decimal.text(value))\n"
  }

  private static func labels(_ family: MetricFamily, _ values: [String]) -> String {
    guard !values.isEmpty else { return "" }
    return "{" + zip(family.labels, values).map { "\($0)=\"\(escaped($1))\"" }.joined(separator: ",") + "}"
  }

  static func escaped(_ value: String) -> String {
    // Scalars: a carriage return and a line feed are one character, which is no line feed.
    value.unicodeScalars.reduce(into: "") { text, letter in
      switch letter {
      case "\\": text += "\\\\"
      case "\"": text += "\\\""
      case "\n": text += "\\n"
      default: text.unicodeScalars.append(letter)
      }
    }
  }
}

extension MetricFamily.Source {
  var reading: MetricFamily.Reading? { if case .read(let reading) = self { reading } else { nil } }
}

/// Values that are looked up when somebody asks, with their labels.
enum Readings {
  static func values(
    of reading: MetricFamily.Reading, _ desk: AdminDesk, _ observer: RelayObserver
  ) -> [(labels: [String], value: Double)] {
    func one(_ value: Double) -> [(labels: [String], value: Double)] { [([], value)] }
    func each(_ values: KeyValuePairs<String, Int>) -> [(labels: [String], value: Double)] {
      values.map { ([$0.key], Double($0.value)) }
    }
    switch reading {
    case .clients: return one(Double(observer.clients))
    case .clientsLimit: return desk.limits.maxClients.map { [([], Double($0))] } ?? []
    case .sessions:
      return each([
        "attached": observer.attachedSessions, "stale": observer.staleSessions, "handshake": observer.handshakes,
      ])
    case .memory:
      return each([
        "used": observer.memoryUsed, "pending": observer.pendingBytes, "closing": observer.closingBytes,
        "missed": observer.missedBytes, "unfinished": observer.unfinishedBytes,
      ])
    case .memoryBudget:
      return each([
        "used": observer.memoryBudget, "missed": observer.missedLimit, "unfinished": observer.unfinishedLimit,
      ])
    case .laneFill:
      return observer.shards.enumerated().flatMap { index, shard in
        [(["\(index)", "up"], shard.uplinkFill), (["\(index)", "down"], shard.downlinkFill)]
      }
    case .shardClients: return observer.shards.enumerated().map { (["\($0)"], Double($1.sessions)) }
    case .shardPackets:
      return observer.shards.enumerated().flatMap { index, shard in
        [(["\(index)", "up"], Double(shard.packetsUp)), (["\(index)", "down"], Double(shard.packetsDown))]
      }
    case .shardBytes:
      return observer.shards.enumerated().flatMap { index, shard in
        [(["\(index)", "up"], Double(shard.bytesUp)), (["\(index)", "down"], Double(shard.bytesDown))]
      }
    case .firehoseConnected: return one(observer.firehoseState == .connected ? 1 : 0)
    case .firehoseState:
      let state = observer.firehoseState
      return FirehoseState.allCases.map { (["\($0)"], $0 == state ? 1 : 0) }
    case .firehoseOldestUnsent: return one(Double(observer.oldestUnsent) / 1000)
    case .threadCPU: return ThreadTimes.byName().map { ([$0.name], $0.seconds) }
    case .roles: return observer.threads.flatMap { thread in thread.roles.map { ([thread.name, $0], 1) } }
    case .startTime: return one(desk.started)
    case .ready: return one(desk.unreadiness == nil ? 1 : 0)
    case .draining: return one(observer.isEnding ? 1 : 0)
    case .build: return [([Version.current, desk.kernel, "\(desk.interface)"], 1)]
    case .settings: return desk.settings.map { ([$0.name, $0.value, $0.origin], 1) }
    case .logLinesDropped: return one(Double(System.droppedLines))
    case .adminRequests:
      return AdminDesk.Outcome.allCases.map { ([$0.rawValue], Double(desk.requests($0))) }
    case .scrapeSeconds: return []
    }
  }
}
