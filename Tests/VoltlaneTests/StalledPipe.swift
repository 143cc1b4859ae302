import Dispatch
import Foundation

/// A pipe that nobody reads, and that is full: a write to it waits until ``read(until:)``.
final class StalledPipe {
  let pipe = Pipe()
  /// What has not been read of it.
  private var filling: Int

  init() {
    let descriptor = pipe.fileHandleForWriting.fileDescriptor
    let flags = fcntl(descriptor, F_GETFL)
    _ = fcntl(descriptor, F_SETFL, flags | O_NONBLOCK)
    let block = [UInt8](repeating: UInt8(ascii: "x"), count: 4096)
    var count = 0
    while true {
      let written = write(descriptor, block, block.count)
      if written <= 0 { break }
      count += written
    }
    _ = fcntl(descriptor, F_SETFL, flags)
    filling = count
  }

  /// What comes behind the filling and what was read before, until it contains `text`; all of it where it never does.
  func read(until text: String) -> String {
    var log = ""
    while !log.contains(text) {
      let more = pipe.fileHandleForReading.availableData
      if more.isEmpty { break }
      log += String(decoding: more.dropFirst(filling), as: UTF8.self)
      filling -= min(filling, more.count)
    }
    return log
  }
}

/// A relay on a unix socket, for tests that do not read its log or give it one of their own.
final class UnheardRelay: @unchecked Sendable {
  let process = Process()
  let folder: URL
  var socket: String { folder.appendingPathComponent("socket").path }
  var address: String { "unix:\(socket)" }

  /// `shell`: what a shell does before it becomes the relay, such as `ulimit`; `$log` is ``log``.
  init(
    _ arguments: [String] = ["--backend", "echo"], errors: Any? = nil, shell: String = "", redirection: String = "",
    environment: [String: String] = [:]
  ) throws {
    folder = FileManager.default.temporaryDirectory.appendingPathComponent("voltlane-\(UUID().uuidString.prefix(8))")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    let program = BuiltProgram.folder!.appendingPathComponent("voltlane").path
    process.executableURL = URL(fileURLWithPath: "/bin/bash")
    process.arguments =
      ["-c", "\(shell) exec '\(program)' \"$@\" \(redirection)", "bash", "--listen", address] + arguments
    let own = ProcessInfo.processInfo.environment
    // As ``BuiltProgram``.
    let io = own["TEST_IO"].map { ["VOLTLANE_IO": $0] } ?? [:]
    process.environment = own.filter { !$0.key.hasPrefix("VOLTLANE_") }
      .merging(io) { $1 }.merging(environment) { $1 }.merging(["log": log.path]) { $1 }
    process.currentDirectoryURL = folder
    process.standardInput = FileHandle.nullDevice
    if let errors { process.standardError = errors }
    BuiltProgram.withholdDescriptors()
    try process.run()
    (errors as? Pipe).map { try? $0.fileHandleForWriting.close() }
    // A relay that hangs fails its test, and does not hold up all others.
    DispatchQueue.global().asyncAfter(deadline: .now() + 240) { [process] in
      if process.isRunning { kill(process.processIdentifier, SIGKILL) }
    }
  }

  deinit {
    if process.isRunning { kill(process.processIdentifier, SIGKILL) }
    process.waitUntilExit()
    try? FileManager.default.removeItem(at: folder)
  }

  /// Where the relay's log goes, if `redirection` says so.
  var log: URL { folder.appendingPathComponent("log") }

  func send(_ signal: Int32) { kill(process.processIdentifier, signal) }

  /// Waits until it serves: a client gets its packet back.
  func serves() -> Bool {
    while process.isRunning {
      if FileManager.default.fileExists(atPath: socket) {
        guard let client = try? BuiltProgram.client.start([address, "--wait", "0s"]) else { return false }
        client.input.fileHandleForWriting.write(Data("hello\n".utf8))
        // However long it takes: its input stays open until then.
        var output = ""
        while !output.contains("\n") {
          let more = client.output.fileHandleForReading.availableData
          if more.isEmpty { break }
          output += String(decoding: more, as: UTF8.self)
        }
        _ = client.finish()
        return output == "hello\n"
      }
      usleep(1000)
    }
    return false
  }

  /// Waits until it has taken the signals that were sent to it.
  func takesSignals() {
    while process.isRunning, status("ShdPnd") != 0 || status("SigPnd") != 0 { usleep(1000) }
  }

  /// A line of its status, which has a set of signals.
  func status(_ name: String) -> UInt64 {
    let text = (try? String(contentsOfFile: "/proc/\(process.processIdentifier)/status", encoding: .utf8)) ?? ""
    let line = text.split(separator: "\n").first { $0.hasPrefix("\(name):") } ?? ""
    return UInt64(line.split(separator: "\t").last ?? "", radix: 16) ?? 0
  }

  /// Waits for its end: its exit code, or the negative number of the signal that ended it.
  func end() -> Int32 {
    process.waitUntilExit()
    return process.terminationReason == .exit ? process.terminationStatus : -process.terminationStatus
  }
}
