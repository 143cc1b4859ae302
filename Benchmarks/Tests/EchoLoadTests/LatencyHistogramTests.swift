import Testing

@testable import EchoLoad

struct LatencyHistogramTests {
  @Test func `every value stays within a sixteenth of the truth`() {
    var value: UInt64 = 1
    while value < 1 << 45 {
      var histogram = LatencyHistogram()
      histogram.record(value)
      let found = histogram.percentile(1)!
      #expect(found >= value)
      #expect(Double(found) <= Double(value) * (1 + 1 / 16.0))
      value = value * 5 / 4 + 1
    }
  }

  @Test func `percentiles split the values`() {
    var histogram = LatencyHistogram()
    #expect(histogram.percentile(0.5) == nil)
    for value in 1...10 { histogram.record(UInt64(value)) }
    #expect(histogram.percentile(0.5) == 5)
    #expect(histogram.percentile(0.99) == 10)
  }
}
