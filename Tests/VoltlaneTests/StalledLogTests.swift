import Foundation
import Testing

/// Nobody reads the relay's log, its disk is full, or it may not grow: the relay goes on, and what was asked of it is
/// done. Whatever waits here for ever fails by its time limit.
@Suite(.enabled(if: BuiltProgram.folder != nil, "the programs stand beside the tests"), .timeLimit(.minutes(5)))
struct StalledLogTests {
  @Test(arguments: [SIGTERM, SIGINT]) func signalEndsIt(signal: Int32) throws {
    let pipe = StalledPipe()
    let relay = try UnheardRelay(errors: pipe.pipe)
    #expect(relay.serves())
    relay.send(signal)
    #expect(relay.end() == 0)
  }

  /// The end of a session is owed to a backend that is not there, so the drain cannot finish.
  @Test func secondSignalEndsIt() throws {
    let pipe = StalledPipe()
    let relay = try UnheardRelay(
      ["--backend", "unix:/no/such/backend", "--shutdown-timeout", "1h"], errors: pipe.pipe)
    while relay.process.isRunning, !FileManager.default.fileExists(atPath: relay.socket) { usleep(1000) }
    let client = try BuiltProgram.client.start([relay.address])
    #expect(client.log(until: "client id").contains("client id"))
    relay.send(SIGTERM)
    relay.takesSignals()
    relay.send(SIGINT)
    #expect(relay.end() == 128 + SIGINT)
    _ = client.finish()
  }

  @Test func lostBackendEndsIt() throws {
    let backend = try BuiltProgram.echo.start(["--listen", "127.0.0.1:0"])
    let address = try #require(backend.log(until: "listening on ").split(separator: " ").last)
      .trimmingCharacters(in: .newlines)
    let pipe = StalledPipe()
    let relay = try UnheardRelay(["--backend", address, "--backend-loss", "exit"], errors: pipe.pipe)
    #expect(relay.serves())
    backend.send(SIGKILL)
    #expect(relay.end() == 75)
    _ = backend.finish()
  }

  /// What was said meanwhile is read once somebody reads.
  @Test func linesWaitUntilTheyAreRead() throws {
    let pipe = StalledPipe()
    let relay = try UnheardRelay(errors: pipe.pipe)
    #expect(relay.serves())
    relay.send(SIGUSR1)
    relay.takesSignals()
    relay.send(SIGHUP)
    relay.takesSignals()
    let log = pipe.read(until: "SIGHUP: no setting has changed")
    #expect(log.contains("listening on"), "\(log)")
    #expect(log.contains("SIGUSR1: totals since the start"), "\(log)")
    #expect(!log.contains("dropped="), "\(log)")
    relay.send(SIGTERM)
    #expect(relay.end() == 0)
  }

  /// More than is kept: what is kept is whole, what is missing is counted where it is missing, and the log goes on.
  @Test func whatIsDroppedIsCounted() throws {
    let pipe = StalledPipe()
    let relay = try UnheardRelay(errors: pipe.pipe)
    #expect(relay.serves())
    // What is kept are 256 KiB, and each line has more than 64 bytes.
    for _ in 0..<(256 << 10) / 64 {
      relay.send(SIGUSR1)
      relay.takesSignals()
    }
    let log = pipe.read(until: "dropped=")
    let lines = log.split(separator: "\n")
    let note = try #require(lines.first { $0.contains("dropped=") }, "\(lines.map { $0.prefix(100) })")
    #expect(note.contains("warning  lines are missing here: the log could not be written  dropped="), "\(note)")
    let dropped = Int(note.split(separator: "=").last ?? "") ?? 0
    #expect(dropped > 0)
    let kept = lines.filter { $0.contains("SIGUSR1: totals since the start") }
    #expect(!kept.isEmpty && kept.allSatisfy { $0.hasPrefix("20") }, "\(kept.first { !$0.hasPrefix("20") } ?? "")")
    relay.send(SIGUSR1)
    #expect(pipe.read(until: "SIGUSR1: totals").contains("SIGUSR1: totals"))
    relay.send(SIGTERM)
    #expect(relay.end() == 0)
  }

  /// A limit of a file's size says what a full disk says, and with a signal. The limit leaves room for the relay's own
  /// memory, which is a file to the kernel; so the log begins with a hole.
  @Test func fileThatMayNotGrowStopsNothing() throws {
    let relay = try UnheardRelay(
      shell: "ulimit -f 262144; truncate -s \((256 << 20) - 100) \"$log\";", redirection: "2>>\"$log\"")
    #expect(relay.serves())
    relay.send(SIGUSR1)
    relay.takesSignals()
    #expect(relay.serves())
    // Somebody makes room.
    #expect(truncate(relay.log.path, 0) == 0)
    var log = ""
    while relay.process.isRunning, !log.contains("dropped=") {
      relay.send(SIGUSR1)
      relay.takesSignals()
      log = (try? String(contentsOf: relay.log, encoding: .utf8)) ?? ""
    }
    #expect(log.contains("lines are missing here: the log could not be written  dropped="), "\(log)")
    relay.send(SIGTERM)
    #expect(relay.end() == 0)
  }

  /// Nobody will ever read it again, or there never was one.
  @Test(arguments: ["2>&-", "2> >(true)", "2>/dev/full"]) func noLogAtAllStopsNothing(redirection: String) throws {
    let relay = try UnheardRelay(redirection: redirection)
    #expect(relay.serves())
    relay.send(SIGHUP)
    relay.takesSignals()
    #expect(relay.serves())
    relay.send(SIGTERM)
    #expect(relay.end() == 0)
  }

  /// What the Swift runtime says before it ends the process, and whatever a library says, comes as lines of the log,
  /// and the writer does not wait for the log's reader.
  @Test func standardErrorOfOthersIsPartOfTheLog() throws {
    let errors = Pipe()
    let relay = try UnheardRelay(errors: errors)
    #expect(relay.serves())
    let descriptor = open("/proc/\(relay.process.processIdentifier)/fd/2", O_WRONLY)
    try #require(descriptor >= 0)
    let text = Array("Fatal error: a reason\u{1b}[2J\n".utf8)
    #expect(write(descriptor, text, text.count) == text.count)
    close(descriptor)
    var log = ""
    while !log.contains("a reason") {
      let more = errors.fileHandleForReading.availableData
      if more.isEmpty { break }
      log += String(decoding: more, as: UTF8.self)
    }
    #expect(log.contains("Z error    Fatal error: a reason[2J\n"), "\(log)")
    relay.send(SIGTERM)
    #expect(relay.end() == 0)
  }
}
