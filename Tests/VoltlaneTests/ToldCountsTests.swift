import Foundation
import Testing

/// The log of a built relay tells everything that limits did, also what came in a burst, and names the main culprit.
@Suite(.enabled(if: BuiltProgram.folder != nil, "the programs stand beside the tests"), .timeLimit(.minutes(5)))
struct ToldCountsTests {
  /// The lines about a refusal in a log: their counts, and what else they say.
  private struct Refusals {
    var counts: [Int] = []
    var lines: [Substring] = []

    init(_ log: String) {
      for line in log.split(separator: "\n") where line.contains("refused: new connections exceed --accept-rate") {
        lines.append(line)
        counts.append(Int(line.firstMatch(of: #/ count=(\d+)/#)?.1 ?? "") ?? 0)
      }
    }

    var sum: Int { counts.reduce(0, +) }
  }

  private func start() throws -> (BuiltProgram.Running, port: UInt16) {
    let relay = try BuiltProgram.relay.start([
      "--listen", "127.0.0.1:0", "--backend", "echo", "--accept-rate", "1/m",
    ])
    let log = relay.log(until: "backend connected")
    let line = try #require(log.split(separator: "\n").first { $0.contains("listening on ") }, "\(log)")
    return (relay, try #require(UInt16(line.split(separator: ":").last ?? "")))
  }

  /// Nothing more comes after the burst: what was held back is told all the same.
  @Test func aBurstOfRefusalsIsToldWhole() throws {
    let (relay, port) = try start()
    let first = try connect(to: port, from: "127.0.0.7")
    defer { close(first) }
    for number in 0..<200 { try isRefused(port, from: number % 4 == 0 ? "127.0.0.9" : "127.0.0.7") }
    var log = ""
    while Refusals(log).sum < 200 {
      let more = relay.errors.fileHandleForReading.availableData
      if more.isEmpty { break }
      log += String(decoding: more, as: UTF8.self)
    }
    let refusals = Refusals(log)
    #expect(refusals.sum == 200, "\(log)")
    #expect(refusals.lines.first?.contains(" address=127.0.0.") == true, "\(log)")
    let last = try #require(refusals.lines.last)
    #expect(last.contains(" address=127.0.0.7 "), "\(last)")
    let most = Int(last.firstMatch(of: #/ of-address=(\d+)/#)?.1 ?? "") ?? 0
    #expect(most <= refusals.counts.last! && most >= refusals.counts.last! / 2, "\(last)")
    relay.send(SIGUSR1)
    let counters = relay.log(until: "totals since the start")
    #expect(counters.firstMatch(of: #/ refusedAcceptRate=(\d+)/#)?.1 == "200", "\(counters)")
    relay.send(SIGTERM)
    let rest = relay.finish()
    #expect(rest.code == 0)
    #expect(Refusals(rest.errors).sum == 0, "\(rest.errors)")
  }

  /// What is still held back when the relay ends.
  @Test(arguments: [[SIGTERM], [SIGQUIT]]) func theRestIsToldAtTheEnd(signals: [Int32]) throws {
    let (relay, port) = try start()
    let first = try connect(to: port, from: "127.0.0.7")
    defer { close(first) }
    for number in 0..<50 { try isRefused(port, from: "127.0.0.\(7 + number % 2)") }
    relay.send(SIGUSR1)
    var log = relay.log(until: "totals since the start")
    #expect(log.firstMatch(of: #/ refusedAcceptRate=(\d+)/#)?.1 == "50", "\(log)")
    for signal in signals { relay.send(signal) }
    log += relay.finish().errors
    #expect(Refusals(log).sum == 50, "\(log)")
  }

  /// Connects, and returns when the relay has closed the connection.
  private func isRefused(_ port: UInt16, from source: String) throws {
    let descriptor = try connect(to: port, from: source)
    defer { close(descriptor) }
    var byte: UInt8 = 0
    #expect(read(descriptor, &byte, 1) <= 0)
  }

  /// A connection from an address of the loopback.
  private func connect(to port: UInt16, from source: String) throws -> Int32 {
    let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
    try #require(descriptor >= 0)
    for (call, address, port) in [(bind, source, 0), (Foundation.connect, "127.0.0.1", port)] {
      var name = sockaddr_in()
      name.sin_family = sa_family_t(AF_INET)
      name.sin_port = port.bigEndian
      name.sin_addr.s_addr = inet_addr(address)
      let result = withUnsafePointer(to: &name) {
        $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
          call(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
        }
      }
      try #require(result == 0)
    }
    return descriptor
  }
}
