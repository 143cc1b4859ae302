import Testing

@testable import Load

struct LatencyHistogramTests {
  @Test func `every value stays within a 64th of the truth`() {
    var value: UInt64 = 1
    while value < 1 << 60 {
      var histogram = LatencyHistogram()
      histogram.record(value)
      // What lies above it, so that the highest value does not answer for the bucket.
      histogram.record(.max, times: 1)
      let found = histogram.percentile(0.5)!
      #expect(found >= value)
      #expect(found - value <= value / 64)
      value = value * 5 / 4 + 1
    }
  }

  @Test func `percentiles split the values`() {
    var histogram = LatencyHistogram()
    #expect(histogram.percentile(0.5) == nil)
    for value in 1...10 { histogram.record(UInt64(value)) }
    #expect(histogram.percentile(0) == 1)
    #expect(histogram.percentile(0.5) == 5)
    #expect(histogram.percentile(0.99) == 10)
  }

  @Test func `no percentile is above the highest value`() {
    var histogram = LatencyHistogram()
    histogram.record(1_000_003, times: 1000)
    #expect(histogram.highest == 1_000_003)
    #expect(histogram.percentile(0.999) == 1_000_003)
    #expect(histogram.total == 1000)
  }
}
