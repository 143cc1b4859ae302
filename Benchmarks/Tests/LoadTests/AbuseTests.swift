import Foundation
import Testing

/// The abuse suite, small, with a debug build: offenders are refused for the right reasons, and nobody else notices.
@Suite(.serialized)
struct AbuseTests {
  @Test func `what the abuse suite is made of is right`() throws {
    let (output, status) = try Python.run(["unittest", "abuse.tests"])
    #expect(status == 0, "\(output)")
  }

  /// In a network namespace where the machine allows one.
  @Test(.enabled(if: Peer.hasVoltlane, "build voltlane first"))
  func `every abuse is refused and harms nobody`() throws {
    let (output, status) = try Python.run(["abuse", "--small", "--build", "debug"])
    #expect(status == 0, "\(output)")
    #expect(output.contains(" scenes, 0 complaints"), "\(output)")
  }

  @Test(.enabled(if: Peer.hasVoltlane, "build voltlane first"))
  func `abuses are played without a network namespace as well`() throws {
    let (output, status) = try Python.run([
      "abuse", "--small", "--build", "debug", "--loopback", "--scenes", "flood of",
    ])
    #expect(status == 0, "\(output)")
    #expect(output.contains("5 scenes, 0 complaints"), "\(output)")
  }
}
