import Foundation
import Testing

/// The built relay where the system refuses it something, at the start and later: it says what is missing.
@Suite(.enabled(if: BuiltProgram.folder != nil, "the programs stand beside the tests"))
struct BuiltShortageTests {
  private static let refusing = BuiltProgram(name: "Refusing")
  private static let relay = ["--listen", "127.0.0.1:0", "--backend", "127.0.0.1:1"]

  /// Runs the relay with a call of io_uring refused, or the starting of threads.
  private func run(refusing what: String, _ error: Int32, _ arguments: [String]) throws -> BuiltProgram.Outcome {
    let program = try #require(BuiltProgram.folder).appendingPathComponent("voltlane").path
    return try Self.refusing.run([what, "\(error)", program] + arguments)
  }

  @Test(arguments: ["setup", "register", "enter"], [EPERM, ENOSYS])
  func `an io_uring that is refused is said at the start and by the preflight`(call: String, error: Int32) throws {
    let start = try run(refusing: call, error, Self.relay)
    #expect(start.code == 1)
    #expect(start.errors.contains("critical cannot start: "), "\(start.errors)")
    #expect(start.errors.contains("(io_uring_\(call): \(String(cString: strerror(error))))"), "\(start.errors)")
    #expect(!start.errors.contains("listening on"), "\(start.errors)")
    let preflight = try run(refusing: call, error, Self.relay + ["--preflight"])
    #expect(preflight.code == 1)
    #expect(preflight.output.contains("(io_uring_\(call): "), "\(preflight.output)")
  }

  /// The log's is the first.
  @Test func `threads that cannot be had at the start are said`() throws {
    let outcome = try run(refusing: "threads", EAGAIN, Self.relay)
    #expect(outcome.code == 1)
    #expect(outcome.errors.contains("critical cannot start: no thread for 'log': "), "\(outcome.errors)")
  }
}
