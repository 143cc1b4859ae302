import Foundation
import Relay
import Synchronization

/// The relay as it is built, in a process of its own, which the system can be short of something for without the tests'
/// process being so too. Its backend is played by the test.
final class BuiltRelay {
  private let process = Process()
  private let written = Written()
  /// What runs a program as the relay's user; empty if that is the tests' own.
  private var asItsUser: [String] = []
  private(set) var endpoint = Endpoint.tcp(host: "", port: 0)

  /// Where SwiftPM puts programs: beside the bundle of the tests.
  private static let folder = CommandLine.arguments.map { URL(fileURLWithPath: $0).deletingLastPathComponent() }
    .first { FileManager.default.isExecutableFile(atPath: $0.appendingPathComponent("voltlane").path) }

  private static func find(_ tool: String) -> String? {
    ["/usr/bin/", "/bin/", "/usr/sbin/", "/sbin/"].map { $0 + tool }
      .first { FileManager.default.isExecutableFile(atPath: $0) }
  }

  /// Whether the tests can run it here, and limit it.
  static var canBeLimited: Bool { folder != nil && find("prlimit") != nil }

  /// Root has no limit of threads.
  static var canHaveNoThreads: Bool { canBeLimited && (getuid() != 0 || find("setpriv") != nil) }

  /// Starts it, where `isUnprivileged` says so as a user without rights, and waits until it listens.
  init(backend: Endpoint, isUnprivileged: Bool = false, _ arguments: [String] = []) throws {
    guard let folder = BuiltRelay.folder else { throw SocketFailure.system("no program", 0) }
    var command = [folder.appendingPathComponent("voltlane").path]
    if isUnprivileged, getuid() == 0, let setpriv = BuiltRelay.find("setpriv") {
      // A user of nobody else's, because such limits count all of a user's processes.
      let user = "\(100_000 + getpid())"
      asItsUser = [setpriv, "--reuid", user, "--regid", user, "--clear-groups", "--"]
      command = asItsUser + command
    }
    process.executableURL = URL(fileURLWithPath: command[0])
    process.arguments =
      Array(command.dropFirst()) + [
        "--listen", "127.0.0.1:0", "--backend", "\(backend)", "--shards", "1", "--firehose-core", "shared",
        "--io", TestRelay.io.rawValue,
      ] + arguments
    let errors = BuiltRelay.pipe()
    process.standardError = errors
    process.standardInput = FileHandle.nullDevice
    BuiltRelay.withholdDescriptors()
    try process.run()
    let descriptor = errors.fileHandleForReading.fileDescriptor
    Foundation.Thread.detachNewThread { [written] in
      var bytes = [UInt8](repeating: 0, count: 4096)
      while true {
        let count = read(descriptor, &bytes, bytes.count)
        guard count > 0 else { break }
        written.bytes.withLock { $0 += bytes.prefix(count) }
      }
      withExtendedLifetime(errors) {}
    }
    guard eventually({ log.contains("backend is ") }),
      let address = log.split(separator: "listening on ").dropFirst().first
    else { throw SocketFailure.timeout("the relay's start: \(log)") }
    endpoint = try Endpoint(String(address.prefix { !$0.isWhitespace }))
  }

  /// Runs it as a user without rights who may have that many threads, until it ends; returns how it ended, and what it
  /// logged.
  static func run(threads: Int, _ arguments: [String]) throws -> (code: Int32, log: String) {
    guard let folder, let prlimit = find("prlimit") else { throw SocketFailure.system("no program", 0) }
    var command = [prlimit, "--nproc=\(threads)", "--", folder.appendingPathComponent("voltlane").path] + arguments
    // As above.
    if getuid() == 0, let setpriv = find("setpriv") {
      let user = "\(300_000 + getpid())"
      command = [setpriv, "--reuid", user, "--regid", user, "--clear-groups", "--"] + command
    }
    let process = Process()
    process.executableURL = URL(fileURLWithPath: command[0])
    process.arguments = Array(command.dropFirst())
    let errors = BuiltRelay.pipe()
    process.standardError = errors
    BuiltRelay.withholdDescriptors()
    try process.run()
    let log = String(decoding: errors.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
    process.waitUntilExit()
    return (process.terminationReason == .exit ? process.terminationStatus : -process.terminationStatus, log)
  }

  /// Keeps programs that are started from inheriting what other tests have open at that moment: a pipe would not end
  /// before they do. Foundation closes every number up to the largest that it finds in use, but not a larger one
  /// that is opened between its look and the start: so a large one is in use.
  private static func withholdDescriptors() { _ = largeDescriptor }

  /// One that no process inherits but the one that it is given to: others would keep it from ending.
  private static func pipe() -> Pipe {
    let pipe = Pipe()
    for end in [pipe.fileHandleForReading, pipe.fileHandleForWriting] {
      _ = fcntl(end.fileDescriptor, F_SETFD, FD_CLOEXEC)
    }
    return pipe
  }

  private static let largeDescriptor = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 900)

  deinit { if process.isRunning { kill(process.processIdentifier, SIGKILL) } }

  /// What it has logged so far.
  var log: String { written.bytes.withLock { String(decoding: $0, as: UTF8.self) } }

  var isRunning: Bool { process.isRunning }

  func eventually(_ condition: () throws -> Bool) rethrows -> Bool {
    for _ in 0..<patience {
      if try condition() { return true }
      usleep(1000)
    }
    return false
  }

  /// Waits for a line of the log. False where there is none in time, or the relay ends before.
  func says(_ text: String) -> Bool { eventually { log.contains(text) } }

  /// Sets a soft limit of the running process, which can be raised again: an option of prlimit, as `--nproc`.
  func limit(_ option: String, _ value: String) throws {
    let tool = Process()
    let command =
      asItsUser + [BuiltRelay.find("prlimit") ?? "", "--pid", "\(process.processIdentifier)", "\(option)=\(value):"]
    tool.executableURL = URL(fileURLWithPath: command[0])
    tool.arguments = Array(command.dropFirst())
    BuiltRelay.withholdDescriptors()
    try tool.run()
    tool.waitUntilExit()
    guard tool.terminationStatus == 0 else { throw SocketFailure.system("prlimit \(option)", tool.terminationStatus) }
  }

  /// Kilobytes of a line of its /proc status, as `VmSize`.
  func status(_ name: String) -> Int? {
    let text = try? String(contentsOfFile: "/proc/\(process.processIdentifier)/status", encoding: .utf8)
    let line = text?.split(separator: "\n").first { $0.hasPrefix(name + ":") }
    return line.flatMap { Int($0.filter(\.isNumber)) }
  }

  /// A client that has shaken hands.
  func client() throws -> RawClient {
    let socket = try RawSocket(to: endpoint)
    try socket.send(RawClient.hello)
    _ = try socket.receive(RawClient.relayKey.count)
    return RawClient(returned: socket, try RawClient.receiveID(socket))
  }

  /// Asks it to end; returns its exit code, or the negative number of the signal that ended it.
  func end() -> Int32 {
    kill(process.processIdentifier, SIGTERM)
    process.waitUntilExit()
    return process.terminationReason == .exit ? process.terminationStatus : -process.terminationStatus
  }
}

/// What a thread reads of the relay's log.
private final class Written: Sendable {
  let bytes = Mutex<[UInt8]>([])
}
