import Foundation

/// A built program of the package, run as a process of its own.
struct BuiltProgram {
  static let relay = BuiltProgram(name: "voltlane")
  static let client = BuiltProgram(name: "voltlane-connect")
  static let echo = BuiltProgram(name: "voltlane-echo")
  static let control = BuiltProgram(name: "voltlane-ctl")

  /// For what only a shell can give a program. A path instead of a name is that of the system's.
  static let shell = BuiltProgram(name: "/bin/bash")

  let name: String

  struct Outcome {
    var code: Int32
    var output: String
    var errors: String
  }

  /// Where SwiftPM puts programs: beside the test bundle, which is the first argument of the test process that it
  /// starts, or beside the process.
  static let folder: URL? = {
    let beside = [Bundle.main.executableURL] + CommandLine.arguments.map { URL(fileURLWithPath: $0) }
    return beside.compactMap { $0?.deletingLastPathComponent() }
      .first { FileManager.default.isExecutableFile(atPath: $0.appendingPathComponent("voltlane").path) }
  }()

  /// Runs it to its end, with `input` on its standard input.
  func run(_ arguments: [String], environment: [String: String] = [:], input: String = "") throws -> Outcome {
    let running = try start(arguments, environment: environment)
    running.input.fileHandleForWriting.write(Data(input.utf8))
    return running.finish()
  }

  /// Starts it with `environment` added to this process's, without what there is for the tests.
  func start(
    _ arguments: [String], environment: [String: String] = [:], in folder: URL? = nil
  ) throws -> Running {
    let program = name.hasPrefix("/") ? URL(fileURLWithPath: name) : Self.folder?.appendingPathComponent(name)
    return try start(program, arguments, environment: environment, in: folder)
  }

  private func start(
    _ program: URL?, _ arguments: [String], environment: [String: String], in folder: URL?
  ) throws -> Running {
    let process = Process()
    process.executableURL = program
    process.arguments = arguments
    let own = ProcessInfo.processInfo.environment
    process.environment = own.filter { !$0.key.hasPrefix("VOLTLANE_") }.merging(environment) { $1 }
    // As the tests of sockets: either of the system's kernels will do.
    if name == "voltlane", let io = own["TEST_IO"] {
      process.environment?.merge(["VOLTLANE_IO": io]) { given, _ in given }
    }
    if let folder { process.currentDirectoryURL = folder }
    let running = Running(process: process, input: Pipe(), output: Pipe(), errors: Pipe())
    process.standardInput = running.input
    process.standardOutput = running.output
    process.standardError = running.errors
    Self.withholdDescriptors()
    try process.run()
    // A program that does not say or do what its test waits for fails that test, and does not hold up all others.
    DispatchQueue.global().asyncAfter(deadline: .now() + 240) { [process] in
      if process.isRunning { kill(process.processIdentifier, SIGKILL) }
    }
    return running
  }

  /// Keeps programs that are started from inheriting what other tests have open at that moment: a pipe would not end
  /// before they do, and a file would seem to be written all the time. Foundation closes every number up to the largest
  /// that it finds in use, but not a larger one that is opened between its look and the start: so a large one is in
  /// use.
  static func withholdDescriptors() { _ = largeDescriptor }

  private static let largeDescriptor = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 900)

  // MARK: In a network of its own

  /// Whether this process may make network and mount namespaces, as root may.
  static let canIsolate: Bool = {
    let probe = try? BuiltProgram(name: "voltlane").start(
      ["--version"], isolatedAfter: "ip link set lo up && mount --make-rprivate /")
    return probe?.finish().code == 0
  }()

  /// Starts it in a network and a mount namespace of its own, once the shell has prepared these.
  func start(_ arguments: [String], isolatedAfter preparation: String) throws -> Running {
    let program = Self.folder?.appendingPathComponent(name).path ?? name
    return try start(
      URL(fileURLWithPath: "/usr/bin/env"),
      ["unshare", "--net", "--mount", "sh", "-c", "\(preparation) && exec \"$0\" \"$@\"", program] + arguments,
      environment: [:], in: nil)
  }

  /// Starts it in the namespaces of one that runs.
  func start(_ arguments: [String], beside other: Running) throws -> Running {
    let program = Self.folder?.appendingPathComponent(name).path ?? name
    return try start(
      URL(fileURLWithPath: "/usr/bin/env"),
      ["nsenter", "--target", "\(other.process.processIdentifier)", "--net", "--mount", program] + arguments,
      environment: [:], in: nil)
  }

  struct Running {
    let process: Process
    let input: Pipe
    let output: Pipe
    let errors: Pipe

    /// What it logs until a line contains `text`; all of it where none does.
    func log(until text: String) -> String {
      var seen = ""
      while !seen.contains(text) {
        let more = errors.fileHandleForReading.availableData
        if more.isEmpty { break }
        seen += String(decoding: more, as: UTF8.self)
      }
      return seen
    }

    /// Runs a command of the shell in its namespaces, to the end.
    func shell(_ command: String) throws {
      let process = Process()
      process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
      process.arguments = ["nsenter", "--target", "\(self.process.processIdentifier)", "--net", "sh", "-c", command]
      BuiltProgram.withholdDescriptors()
      try process.run()
      process.waitUntilExit()
      if process.terminationStatus != 0 { throw CocoaError(.executableLoad) }
    }

    func send(_ signal: Int32) {
      kill(process.processIdentifier, signal)
    }

    /// Ends its input and waits for its end. What it writes is little, so that reading one pipe after the other cannot
    /// block it.
    func finish() -> Outcome {
      try? input.fileHandleForWriting.close()
      let output = self.output.fileHandleForReading.readDataToEndOfFile()
      let errors = self.errors.fileHandleForReading.readDataToEndOfFile()
      process.waitUntilExit()
      return Outcome(
        code: process.terminationReason == .exit ? process.terminationStatus : -process.terminationStatus,
        output: String(decoding: output, as: UTF8.self), errors: String(decoding: errors, as: UTF8.self))
    }
  }
}
