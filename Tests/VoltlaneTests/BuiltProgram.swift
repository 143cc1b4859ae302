import Foundation

/// The built program, run as a process of its own.
struct BuiltProgram {
  struct Outcome {
    var code: Int32
    var output: String
    var errors: String
  }

  /// Beside the test bundle, which is the first argument of the test process that SwiftPM starts, or beside the
  /// process.
  static let path: URL? = {
    let beside = [Bundle.main.executableURL] + CommandLine.arguments.map { URL(fileURLWithPath: $0) }
    return beside.compactMap { $0?.deletingLastPathComponent().appendingPathComponent("voltlane") }
      .first { FileManager.default.isExecutableFile(atPath: $0.path) }
  }()

  /// Runs it to its end.
  static func run(_ arguments: [String]) throws -> Outcome {
    try start(arguments).finish()
  }

  static func start(_ arguments: [String]) throws -> Running {
    let process = Process()
    process.executableURL = path
    process.arguments = arguments
    let output = Pipe()
    let errors = Pipe()
    process.standardOutput = output
    process.standardError = errors
    try process.run()
    return Running(process: process, output: output, errors: errors)
  }

  struct Running {
    let process: Process
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

    func send(_ signal: Int32) {
      kill(process.processIdentifier, signal)
    }

    /// Waits for its end. What it writes is little, so that reading one pipe after the other cannot block it.
    func finish() -> Outcome {
      let output = self.output.fileHandleForReading.readDataToEndOfFile()
      let errors = self.errors.fileHandleForReading.readDataToEndOfFile()
      process.waitUntilExit()
      return Outcome(
        code: process.terminationReason == .exit ? process.terminationStatus : -process.terminationStatus,
        output: String(decoding: output, as: UTF8.self), errors: String(decoding: errors, as: UTF8.self))
    }
  }
}
