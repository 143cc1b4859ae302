import Foundation
import Synchronization

/// One of the project's programs, run as its users run it.
final class Program: Sendable {
  private let process = Mutex(Process())
  private let input = Pipe()
  private let output = Pipe()
  private let errors = Pipe()
  private let ended: AsyncStream<Int32>

  /// The programs stand beside the bundle of the tests.
  init(_ name: String, _ arguments: [String]) throws {
    let (ended, continuation) = AsyncStream.makeStream(of: Int32.self)
    self.ended = ended
    try process.withLock { process in
      process.executableURL = URL(fileURLWithPath: CommandLine.arguments[0])
        .deletingLastPathComponent().appendingPathComponent(name)
      process.arguments = arguments
      process.standardInput = input
      process.standardOutput = output
      process.standardError = errors
      process.terminationHandler = { process in
        continuation.yield(process.terminationStatus)
        continuation.finish()
      }
      Self.withholdDescriptors()
      try process.run()
    }
  }

  /// Keeps programs that are started from inheriting what other tests have open at that moment: a pipe would not end
  /// before they do. Foundation closes every number up to the largest that it finds in use, but not a larger one
  /// that is opened between its look and the start: so a large one is in use.
  static func withholdDescriptors() { _ = largeDescriptor }

  private static let largeDescriptor = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 900)

  func write(_ text: String) throws {
    try input.fileHandleForWriting.write(contentsOf: Data(text.utf8))
  }

  func endInput() throws {
    try input.fileHandleForWriting.close()
  }

  /// What the program says on stderr up to the first newline.
  func firstError() async throws -> String {
    try await line(of: errors.fileHandleForReading)
  }

  /// The next line that it prints.
  func firstLine() async throws -> String {
    try await line(of: output.fileHandleForReading)
  }

  func send(_ signal: Int32) {
    kill(process.withLock { $0.processIdentifier }, signal)
  }

  func terminate() {
    process.withLock { $0.terminate() }
  }

  /// Waits for the end.
  func end() async throws -> (status: Int32, output: String, errors: String) {
    async let output = readToEnd(output.fileHandleForReading)
    async let errors = readToEnd(errors.fileHandleForReading)
    var status: Int32 = -1
    for await ended in ended { status = ended }
    return (status, try await output, try await errors)
  }

  private func readToEnd(_ file: FileHandle) async throws -> String {
    var read: [UInt8] = []
    for try await byte in bytes(of: file) { read.append(byte) }
    return String(decoding: read, as: UTF8.self)
  }

  /// Byte by byte, so that nothing behind the newline is taken.
  private func line(of file: FileHandle) async throws -> String {
    try await withCheckedThrowingContinuation { continuation in
      DispatchQueue.global().async {
        continuation.resume(
          with: Result {
            var line = ""
            while let byte = try file.read(upToCount: 1)?.first, byte != UInt8(ascii: "\n") {
              line.unicodeScalars.append(Unicode.Scalar(byte))
            }
            return line
          })
      }
    }
  }

  /// A blocking read, kept off the threads that the tests share.
  private func bytes(of file: FileHandle) -> AsyncThrowingStream<UInt8, any Error> {
    let (stream, continuation) = AsyncThrowingStream.makeStream(of: UInt8.self)
    DispatchQueue.global().async {
      do {
        while let data = try file.read(upToCount: 1), !data.isEmpty { continuation.yield(data[data.startIndex]) }
        continuation.finish()
      } catch {
        continuation.finish(throwing: error)
      }
    }
    return stream
  }
}
