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
    let relay = Self.relay + ["--io", "uring"]
    let start = try run(refusing: call, error, relay)
    #expect(start.code == 1)
    #expect(start.errors.contains("critical cannot start: "), "\(start.errors)")
    #expect(start.errors.contains("(io_uring_\(call): \(String(cString: strerror(error))))"), "\(start.errors)")
    #expect(start.errors.contains("leave --io at auto"), "\(start.errors)")
    #expect(!start.errors.contains("listening on"), "\(start.errors)")
    let preflight = try run(refusing: call, error, relay + ["--preflight"])
    #expect(preflight.code == 1)
    #expect(preflight.output.contains("fail  io_uring"), "\(preflight.output)")
    #expect(preflight.output.contains("(io_uring_\(call): "), "\(preflight.output)")
  }

  /// As in a container with the default profile.
  @Test(arguments: ["setup", "register", "enter"], [EPERM, ENOSYS])
  func `where io_uring is refused, epoll is taken, and the log says why`(call: String, error: Int32) throws {
    let program = try #require(BuiltProgram.folder).appendingPathComponent("voltlane").path
    let relay = ["--listen", "127.0.0.1:0", "--backend", "echo", "--io", "auto"]
    let running = try Self.refusing.start([call, "\(error)", program] + relay)
    let log = running.log(until: "backend connected")
    let line = log.split(separator: "\n").first { $0.contains("packets go through epoll, because ") }
    #expect(line?.contains("(io_uring_\(call): \(String(cString: strerror(error))))") == true, "\(log)")
    #expect(line?.contains("too old") == false, "\(log)")
    let address = try #require(log.firstMatch(of: /listening on (\S+)/)?.output.1)
    let answer = try BuiltProgram.client.run([String(address)], input: "hello")
    #expect(answer.output == "hello\n", "\(answer.errors)")
    running.send(SIGTERM)
    #expect(running.finish().code == 0)

    let preflight = try run(refusing: call, error, relay + ["--preflight"])
    #expect(preflight.output.contains("warn  io_uring"), "\(preflight.output)")
    #expect(preflight.output.contains("the relay runs over epoll"), "\(preflight.output)")
  }

  @Test(arguments: [("uring", "io_uring"), ("epoll", "epoll, as --io asks for")])
  func `the log and the counters say which kernel runs`(io: String, told: String) throws {
    let running = try BuiltProgram.relay.start(Self.relay + ["--io", io])
    #expect(running.log(until: "backend is ").contains("packets go through \(told)\n"))
    running.send(SIGUSR1)
    let word = io == "uring" ? "io=io_uring" : "io=epoll"
    #expect(running.log(until: "totals since the start").contains(word))
    running.send(SIGTERM)
    #expect(running.finish().code == 0)
  }

  /// The log's is the first.
  @Test func `threads that cannot be had at the start are said`() throws {
    let outcome = try run(refusing: "threads", EAGAIN, Self.relay)
    #expect(outcome.code == 1)
    #expect(outcome.errors.contains("critical cannot start: no thread for 'log': "), "\(outcome.errors)")
  }
}
