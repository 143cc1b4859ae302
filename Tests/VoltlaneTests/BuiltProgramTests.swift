import Foundation
import Testing

@testable import Voltlane

@Suite(.enabled(if: BuiltProgram.path != nil, "the program stands beside the tests"))
struct BuiltProgramTests {
  @Test func help() throws {
    let outcome = try BuiltProgram.run(["--help"])
    #expect(outcome.code == 0)
    #expect(outcome.output.contains("USAGE: voltlane"))
    #expect(outcome.output.contains("--max-packet-size"))
    #expect(outcome.errors.isEmpty)
  }

  @Test func version() throws {
    let outcome = try BuiltProgram.run(["--version"])
    #expect(outcome.code == 0)
    #expect(outcome.output == "\(Version.current)\n")
  }

  @Test(arguments: [
    (["--shards", "0"], "Error: --shards: '0' is not allowed. Allowed: auto or a number from 1 to 256."),
    (["--cpus", "8191"], "Error: --cpus: '8191' is not allowed: this process may not run on CPU 8191, only on "),
    (
      ["--congestion-control", "carrier-pigeon"],
      "Error: --congestion-control: 'carrier-pigeon' is not allowed: this kernel has "
    ),
    (["--bogus"], "Error: Unknown option '--bogus'"),
  ])
  func wrongValue(arguments: [String], message: String) throws {
    let outcome = try BuiltProgram.run(arguments)
    #expect(outcome.code == 64)
    #expect(outcome.errors.contains(message), "\(outcome.errors)")
    #expect(outcome.output.isEmpty)
  }

  @Test(arguments: [SIGTERM, SIGINT]) func signalEndsItInAnOrderlyWay(signal: Int32) throws {
    let running = try BuiltProgram.start(["--listen", "127.0.0.1:0", "--backend", "echo"])
    let started = running.log(until: "embedded echo")
    #expect(started.contains("listening on "))
    running.send(signal)
    let outcome = running.finish()
    #expect(outcome.code == 0)
    #expect(outcome.errors.contains("draining"), "\(outcome.errors)")
  }
}
