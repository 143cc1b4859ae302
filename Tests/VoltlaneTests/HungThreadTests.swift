import Foundation
import Testing

/// A thread of the relay hangs, as one does whose memory is on a disk that does not answer. A debugger that stops a
/// single thread makes the same of it; where nobody may be one, these tests say so and are passed over.
@Suite(
  .enabled(if: BuiltProgram.folder != nil, "the programs stand beside the tests"),
  .enabled(if: StoppedThread.isPossible, "ptrace is not allowed here"), .timeLimit(.minutes(5)))
struct HungThreadTests {
  @Test func hungShardKeepsNobodyFromEndingTheRelay() throws {
    let errors = Pipe()
    let relay = try UnheardRelay(["--backend", "echo", "--shutdown-timeout", "100ms"], errors: errors)
    #expect(relay.serves())
    let shard = try #require(StoppedThread(of: relay.process, named: "relay"))
    relay.send(SIGTERM)
    let log = String(decoding: errors.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
    shard.letGo()
    #expect(relay.end() == 70)
    #expect(log.contains("critical the relay's threads do not end"), "\(log)")
  }

  @Test func secondSignalDoesNotWaitForIt() throws {
    let relay = try UnheardRelay(["--backend", "echo", "--shutdown-timeout", "1h"], errors: FileHandle.nullDevice)
    #expect(relay.serves())
    let shard = try #require(StoppedThread(of: relay.process, named: "relay"))
    relay.send(SIGTERM)
    relay.takesSignals()
    relay.send(SIGTERM)
    shard.letGo()
    #expect(relay.end() == 128 + SIGTERM)
  }

  /// The service manager hears nothing until the thread answers again: if that took long, it would end the relay.
  @Test func hungShardTripsTheWatchdog() throws {
    let ear = try ServiceEar(isAbstract: true)
    let errors = Pipe()
    let relay = try UnheardRelay(
      errors: errors, environment: ["NOTIFY_SOCKET": ear.address, "WATCHDOG_USEC": "2000000"])
    #expect(ear.next(with: "WATCHDOG=1") != nil)
    #expect(ear.next(with: "WATCHDOG=1") != nil)
    let shard = try #require(StoppedThread(of: relay.process, named: "relay"))
    var log = ""
    func read(until text: String) {
      while !log.contains(text) {
        let more = errors.fileHandleForReading.availableData
        if more.isEmpty { return }
        log += String(decoding: more, as: UTF8.self)
      }
    }
    read(until: "threads do not answer")
    #expect(log.contains("threads=relay 0"), "\(log)")
    ear.drain()
    shard.resume()
    read(until: "all threads answer again")
    #expect(log.contains("warning  all threads answer again"), "\(log)")
    #expect(ear.next(with: "WATCHDOG=1") != nil)
    relay.send(SIGTERM)
    #expect(relay.end() == 0)
  }
}

/// A thread that is stopped for as long as its process lives, or until it may go on.
private struct StoppedThread {
  private let thread: pid_t

  private typealias Trace = @convention(c) (CLong, pid_t, UInt, UInt) -> CLong
  /// Swift does not import functions with any number of arguments; on Linux one is called like any other.
  private static let trace = unsafeBitCast(dlsym(UnsafeMutableRawPointer(bitPattern: 0), "ptrace"), to: Trace.self)
  private static let (seize, interrupt, detach) = (CLong(0x4206), CLong(0x4207), CLong(17))
  private static let allThreads = Int32(0x4000_0000)

  static var isPossible: Bool {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/bin/sleep")
    process.arguments = ["60"]
    guard (try? process.run()) != nil else { return false }
    defer { kill(process.processIdentifier, SIGKILL) }
    return trace(seize, process.processIdentifier, 0, 0) == 0
  }

  /// The first thread with a name that begins so. The tracer is the calling thread, and stays it.
  init?(of process: Process, named name: String) {
    let tasks = "/proc/\(process.processIdentifier)/task"
    let threads = (try? FileManager.default.contentsOfDirectory(atPath: tasks)) ?? []
    let found = threads.sorted().first {
      (try? String(contentsOfFile: "\(tasks)/\($0)/comm", encoding: .utf8))?.hasPrefix(name) == true
    }
    guard let found, let number = pid_t(found), Self.trace(Self.seize, number, 0, 0) == 0,
      Self.trace(Self.interrupt, number, 0, 0) == 0
    else { return nil }
    thread = number
    var status: Int32 = 0
    guard waitpid(thread, &status, Self.allThreads) == thread else { return nil }
  }

  /// Lets it run again.
  func resume() { _ = Self.trace(Self.detach, thread, 0, 0) }

  /// Takes note of its end, which its process waits for.
  func letGo() {
    var status: Int32 = 0
    while waitpid(thread, &status, Self.allThreads) == thread, status & 0xff == 0x7f {}
  }
}
