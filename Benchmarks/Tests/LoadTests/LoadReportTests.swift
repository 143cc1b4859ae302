import Testing

@testable import Load

struct LoadReportTests {
  private func report(_ mode: LoadPlan.Mode, packets: UInt64, totalPackets: UInt64) throws -> LoadReport {
    var report = LoadReport(LoadPlan(mode: mode, relay: try Address("127.0.0.1:1"), backend: nil))
    report.packets = packets
    report.totalPackets = totalPackets
    return report
  }

  @Test(arguments: [LoadPlan.Mode.echo, .ingest, .egress, .oneToAll])
  func `a measurement without packets is not clean, whatever came before and after`(mode: LoadPlan.Mode) throws {
    let nothing = try report(mode, packets: 0, totalPackets: 5)
    #expect(!nothing.isClean)
    #expect(nothing.text.contains("nothing was measured"))
    let some = try report(mode, packets: 1, totalPackets: 5)
    #expect(some.isClean)
    #expect(!some.text.contains("nothing was measured"))
  }

  @Test func `an idle crowd is clean when it answers at the end`() throws {
    #expect(try report(.idle, packets: 0, totalPackets: 5).isClean)
    #expect(!(try report(.idle, packets: 0, totalPackets: 0).isClean))
  }
}
