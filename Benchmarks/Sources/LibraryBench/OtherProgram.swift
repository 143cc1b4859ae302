import Foundation
import Glibc

/// A program in another language, whose library is measured: a process of its own.
final class OtherProgram: Sendable {
  private let process: Int32

  init(_ command: String, port: UInt16) throws {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/bin/sh")
    // In its place, so that it is this one that ends.
    process.arguments = ["-c", "exec \(command)"]
    process.environment = ProcessInfo.processInfo.environment.merging(["PORT": "\(port)"]) { $1 }
    try process.run()
    self.process = process.processIdentifier
  }

  /// What `dial` makes, once the program listens.
  func dialled<R>(_ dial: () throws -> R) throws -> R {
    while true {
      do {
        return try dial()
      } catch {
        guard kill(process, 0) == 0 else { throw Plan.Refused(description: "the program has ended") }
        usleep(10_000)
      }
    }
  }

  /// What it took of the CPUs so far, in seconds: the sum over its threads, to the nanosecond.
  var cpu: Double {
    let tasks = "/proc/\(process)/task"
    let threads = (try? FileManager.default.contentsOfDirectory(atPath: tasks)) ?? []
    return threads.reduce(0) { sum, thread in
      let text = (try? String(contentsOfFile: "\(tasks)/\(thread)/schedstat", encoding: .utf8)) ?? ""
      return sum + (text.split(separator: " ").first.flatMap { Double($0) } ?? 0) / 1e9
    }
  }

  func end() { kill(process, SIGKILL) }
}
