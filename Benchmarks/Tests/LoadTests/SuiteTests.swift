import Foundation
import Testing

@testable import Load

/// The whole suite, small, with debug builds: it runs, writes its results, and compares them.
@Suite(.serialized)
struct SuiteTests {
  @Test func `what the suite makes of its runs is right`() throws {
    let (output, status) = try Python.run(["unittest", "suite.tests"])
    #expect(status == 0, "\(output)")
  }

  @Test(.enabled(if: Peer.hasVoltlane, "build voltlane first"))
  func `a suite runs, resumes and compares`() throws {
    try Peer.buildPrograms()
    let folder = URL(filePath: NSTemporaryDirectory()).appending(path: "voltlane-suite-\(UUID().uuidString)")
    defer { try? FileManager.default.removeItem(at: folder) }
    let results = folder.appending(path: "results.json").path
    // Those two come with tools/bench; tools/test does not put servers on a machine.
    let proxies = ["haproxy", "nginx"].filter { name in
      ["/usr/sbin", "/usr/bin"].contains { FileManager.default.isExecutableFile(atPath: "\($0)/\(name)") }
    }
    let contenders = [
      "shared", "again", "default", "own", "prompt", "shards2", "shards4", "shards16", "epoll", "floor",
      "nio", "nio-single",
      "swift", "swift-detached", "swift-batches",
    ]
    let flags = [
      "suite", "--quick", "--build", "debug", "--repeats", "1", "--seconds", "0.1", "--warmup", "0", "--cells",
      "^(1:64:1|100:64:1|100:64:8|100:64:64|100:64|.* at .*|.* multicast|10|500|shout|send)$", "--contenders",
      (contenders + proxies).joined(separator: ","),
      "--output", results,
    ]
    let first = try Python.run(flags)
    #expect(first.status == 0, "\(first.output)")
    let document = try #require(
      try JSONSerialization.jsonObject(with: Data(contentsOf: URL(filePath: results))) as? [String: Any])
    let runs = try #require(document["runs"] as? [[String: Any]])
    let measured = Set(runs.map { "\($0["scenario"]!) \($0["contender"]!)" })
    for scenario in ["echo", "latency", "stalled", "crowd", "ingest", "egress", "one-to-all", "idle", "connect-storm"] {
      #expect(measured.isSuperset(of: ["\(scenario) shared", "\(scenario) epoll"]), "\(scenario)")
    }
    for rival in ["again", "own", "floor", "nio", "nio-single"] + proxies {
      #expect(measured.contains("echo \(rival)"))
    }
    let others = ["crowd prompt", "crowd shards16", "echo default", "shards shards2", "shards shards4"]
    #expect(measured.isSuperset(of: others + ["reconnect-storm shared"]))
    #expect(measured.contains("multicast shared"))
    for loop in ["swift", "swift-detached", "swift-batches"] { #expect(measured.contains("libraries \(loop)")) }
    let page = try String(contentsOf: folder.appending(path: "results.html"), encoding: .utf8)
    #expect(page.contains("reconnect-storm"))

    let second = try Python.run(flags + ["--resume", "--compare", results])
    #expect(second.status == 0, "\(second.output)")
    #expect(!second.output.contains("[1/"), "nothing is measured again")
    #expect(second.output.contains(" 0 moved beyond the noise"))
  }
}
