import Testing

@testable import Load

/// Storms of a few hundred: of newcomers against the plain relay of `peers`, which knows no reconnection; of those who
/// return against voltlane itself.
@Suite(.serialized)
struct StormTests {
  @Test func `every newcomer gets in`() throws {
    let peer = try Peer("epoll-relay")
    let report = try peer.storm(.connect)
    #expect(report.isClean, "\(report.text)")
    #expect(report.phases.map(\.done) == [300])
    #expect(report.phases[0].latency.total == 300)
    #expect(report.phases[0].relayTime! > 0)
  }

  @Test(.enabled(if: Peer.hasVoltlane, "build voltlane first"))
  func `every client returns`() throws {
    let peer = try Peer.voltlane()
    let report = try peer.storm(.reconnect)
    #expect(report.isClean, "\(report.text)")
    #expect(report.phases.map(\.done) == [300, 300, 300])
    let json = try report.json()
    #expect(json.contains(#""name":"first return""#))
  }

  @Test func `a relay that refuses returning clients is reported`() throws {
    let peer = try Peer("epoll-relay")
    let report = try peer.storm(.reconnect)
    #expect(!report.isClean)
    #expect(report.phases.map(\.refused) == [0, 300, 300])
  }
}
