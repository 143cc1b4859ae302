import Relay
import Testing
import VoltlaneCrypto

@testable import Voltlane

/// The metrics' definitions: each counter is in one of them, and their names are as Prometheus wants them.
@Suite struct MetricsTests {
  private static let counted = MetricFamily.all.flatMap { family -> [Metric] in
    if case .counted(let series) = family.source { series.map(\.metric) } else { [] }
  }

  @Test(arguments: Metric.allCases) func everyCounterIsInOneFamily(metric: Metric) {
    let isElsewhere = MetricFamily.sums.contains(metric) || MetricFamily.readings.contains(metric)
    #expect(Self.counted.count { $0 == metric } == (isElsewhere ? 0 : 1))
  }

  @Test func `every reading and every distribution is in one family`() {
    let readings = MetricFamily.all.compactMap(\.source.reading)
    #expect(
      readings.count == MetricFamily.Reading.allCases.count && Set(readings) == Set(MetricFamily.Reading.allCases))
    let distributions = MetricFamily.all.compactMap { family -> Distribution? in
      if case .distribution(let distribution) = family.source { distribution } else { nil }
    }
    #expect(distributions.count == Distribution.allCases.count && Set(distributions) == Set(Distribution.allCases))
  }

  @Test func `no two have a name in common, and no two series a label`() {
    #expect(Set(MetricFamily.all.map(\.name)).count == MetricFamily.all.count)
    for family in MetricFamily.all {
      guard case .counted(let series) = family.source else { continue }
      #expect(Set(series.map(\.label)).count == series.count, "\(family.name)")
    }
  }

  @Test(arguments: MetricFamily.all) func `names and words are in Prometheus's form`(family: MetricFamily) {
    #expect(family.name.hasPrefix(MetricFamily.prefix))
    #expect(family.name.allSatisfy { $0.isLowercase || $0.isNumber || $0 == "_" })
    #expect((family.kind == .counter) == family.name.hasSuffix("_total"))
    for ending in ["_count", "_sum", "_bucket"] { #expect(!family.name.hasSuffix(ending)) }
    #expect(family.help.first?.isLowercase == false && family.help.last == ".")
    #expect(!family.help.contains("\n") && !family.help.contains("\\") && !family.help.contains("|"))
    for unit in ["_ms", "_milliseconds", "_kb", "_percent"] { #expect(!family.name.contains(unit)) }
    // Neither has a client, and so no end.
    #expect(family.labels.allSatisfy { !["id", "client", "address"].contains($0) })
  }

  @Test func `label values are escaped`() {
    #expect(MetricsPage.escaped("a\"b\\c\nd") == "a\\\"b\\\\c\\nd")
    #expect(MetricsPage.escaped("a\r\nb") == "a\r\\nb")
  }

  @Test(
    arguments: [
      (0, "0"), (1, "1"), (0.5, "0.5"), (1.25e-6, "0.000001"), (1e-9, "0"), (-2.5, "-2.5"), (123_456.789, "123456.789"),
      (1_796_096_483.25, "1796096483"), (1e12, "1000000000000"), (.infinity, "0"), (.nan, "0"), (0.1 + 0.2, "0.3"),
    ] as [(Double, String)])
  func `numbers have no exponent`(value: Double, text: String) {
    #expect(Decimal.text(value) == text)
  }

  /// A scrape's work is bounded: it reads what threads have counted, and writes a line for each series. With the number
  /// of shards grow only the series of each shard, and those that say where it is.
  @Test func `a scrape has eight lines for each shard`() throws {
    func lines(shards: Int) throws -> (ofShards: Int, others: Int, bytes: Int) {
      var configuration = RelayConfiguration(
        listeners: [.tcp(host: "127.0.0.1", port: 0)], backend: .unix(path: "/nowhere"))
      (configuration.shards, configuration.threads) = (shards, .fixed(1))
      let relay = try Relay(configuration: configuration)
      defer { relay.stop() }
      try relay.start(identity: SecretKey.generate())
      let desk = AdminDesk()
      desk.begin(relay)
      let page = MetricsPage(desk, try #require(relay.observer)).text
      // Threads of other tests come and go.
      let lines = page.split(separator: "\n").filter { !$0.hasPrefix("#") && !$0.contains("thread_cpu") }
      let ofShards = lines.count { $0.contains("{shard=") || $0.hasPrefix("voltlane_thread_roles{") }
      return (ofShards, lines.count - ofShards, page.utf8.count)
    }
    let (one, many) = (try lines(shards: 1), try lines(shards: 64))
    #expect(many.ofShards - one.ofShards == 63 * 8)
    #expect(one.others == many.others && one.others < 250)
    #expect(many.bytes < 64 << 10)
  }
}
