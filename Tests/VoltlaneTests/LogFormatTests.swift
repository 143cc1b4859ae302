import Foundation
import Testing
import VoltlaneText

/// The log as machines read it: from a relay that runs, crashes, or is not heard, and where systemd's journal listens.
@Suite(.enabled(if: BuiltProgram.folder != nil, "the programs stand beside the tests"), .timeLimit(.minutes(5)))
struct LogFormatTests {
  /// Every line of what a relay says; each is one value.
  private static func lines(_ log: String) throws -> [JSON] {
    try log.split(separator: "\n").map { line in
      // As somebody else's library reads it, too.
      _ = try #require(try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any], "\(line)")
      return try JSON(reading: String(line))
    }
  }

  /// With the session of one client: where it came from, and why it ended.
  @Test func everyLineIsAnObject() throws {
    let relay = try BuiltProgram.relay.start([
      "--listen", "127.0.0.1:0", "--backend", "echo", "--log-format", "json", "--log-level", "debug",
      "--stale-timeout", "0s",
    ])
    let start = relay.log(until: "backend_connected")
    let address = try #require(start.firstMatch(of: #/listening on ([^"]+)"/#)).1
    let client = try BuiltProgram.client.start([String(address), "--wait", "0s"])
    client.input.fileHandleForWriting.write(Data("hello\n".utf8))
    _ = client.output.fileHandleForReading.availableData
    client.send(SIGKILL)
    let life = relay.log(until: "session_ended")
    relay.send(SIGUSR1)
    relay.send(SIGTERM)
    let outcome = relay.finish()
    _ = client.finish()
    #expect(outcome.code == 0)
    let lines = try Self.lines(start + life + outcome.errors)
    for line in lines {
      let keys = (line.members ?? []).prefix(3).map(\.name)
      #expect(keys == ["time", "level", "message"], "\(line)")
    }
    let begun = try #require(lines.first { $0["event"] == "session_started" })
    let ended = try #require(lines.first { $0["event"] == "session_ended" })
    #expect(begun["id"]?.string?.count == 16 && begun["id"] == ended["id"])
    #expect(begun["address"] == "127.0.0.1" && ended["address"] == "127.0.0.1")
    #expect(ended["reason"] == "stale_timeout" && ended["level"] == "debug", "\(ended)")
    let totals = try #require(lines.first { $0["message"]?.string?.hasPrefix("SIGUSR1: totals") == true })
    #expect(totals["sessionsStarted"] == 1 && totals["bytesUp"]?.integer != nil, "\(totals)")
  }

  /// What C says: others' lines on standard error, whatever bytes they have, and a crash.
  @Test func crashAndWhatOthersSayAreObjects() throws {
    let errors = Pipe()
    let relay = try UnheardRelay(["--backend", "echo", "--log-format", "json"], errors: errors)
    #expect(relay.serves())
    let descriptor = open("/proc/\(relay.process.processIdentifier)/fd/2", O_WRONLY)
    try #require(descriptor >= 0)
    let text =
      Array("a \"reason\" \\ \u{1b}[2J\u{1f600}\u{85}\u{2028}\u{202e}".utf8) + [0xff, 0xc3, UInt8(ascii: "\n")]
    #expect(write(descriptor, text, text.count) == text.count)
    close(descriptor)
    var log = ""
    while !log.contains("reason"), let more = String(data: errors.fileHandleForReading.availableData, encoding: .utf8) {
      if more.isEmpty { break }
      log += more
    }
    relay.send(SIGSEGV)
    log += String(decoding: errors.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
    #expect(relay.end() == -SIGSEGV)
    let lines = try Self.lines(log)
    let foreign = try #require(lines.first { $0["message"]?.string?.contains("reason") == true })
    #expect(foreign["message"] == .string("a \"reason\" \\ [2J\u{1f600}\u{fffd}\u{fffd}"))
    #expect(foreign["level"] == "error")
    let crash = try #require(lines.last)
    #expect(crash["message"] == "crashed: SIGSEGV" && crash["level"] == "critical", "\(crash)")
    #expect(crash["from-process"] == .integer(ProcessInfo.processInfo.processIdentifier), "\(crash)")
    #expect(crash["at"]?.string?.contains("voltlane+0x") == true, "\(crash)")
  }

  @Test func droppedLinesAreCountedInOne() throws {
    let pipe = StalledPipe()
    let relay = try UnheardRelay(["--backend", "echo", "--log-format", "json"], errors: pipe.pipe)
    #expect(relay.serves())
    for _ in 0..<(256 << 10) / 64 {
      relay.send(SIGUSR1)
      relay.takesSignals()
    }
    var log = pipe.read(until: "\"dropped\":")
    // And the counter has them.
    relay.send(SIGUSR1)
    log += pipe.read(until: "\"logLinesDropped\":")
    #expect(log.contains("\"logLinesDropped\":"))
    let line = try #require(log.split(separator: "\n").first { $0.contains("\"dropped\":") })
    let note = try JSON(reading: String(line))
    #expect(note["level"] == "warning" && (note["dropped"]?.integer ?? 0) > 0, "\(line)")
    relay.send(SIGTERM)
    #expect(relay.end() == 0)
  }

  // MARK: The journal

  /// systemd says which stream is the journal's.
  @Test(arguments: ["text", "json"]) func journalGetsPriorities(format: String) throws {
    let relay = try UnheardRelay(
      ["--backend", "echo", "--log-format", format],
      shell: "touch \"$log\"; export JOURNAL_STREAM=$(stat -c %d:%i \"$log\");", redirection: "2>>\"$log\"")
    #expect(relay.serves())
    relay.send(SIGUSR1)
    relay.takesSignals()
    let descriptor = open("/proc/\(relay.process.processIdentifier)/fd/2", O_WRONLY)
    try #require(descriptor >= 0)
    #expect(write(descriptor, "foreign\n", 8) == 8)
    close(descriptor)
    // The control loop has taken the signal, and may not have written what it says of it.
    for part in ["foreign", "SIGUSR1: totals"] {
      while relay.process.isRunning, !Self.text(relay.log).contains(part) { usleep(1000) }
    }
    relay.send(SIGSEGV)
    #expect(relay.end() == -SIGSEGV)
    let lines = Self.text(relay.log).split(separator: "\n")
    #expect(!lines.isEmpty && lines.allSatisfy { $0.wholeMatch(of: #/<[2-7]>[{2].*/#) != nil }, "\(lines)")
    #expect(lines.first { $0.contains("SIGUSR1") }?.hasPrefix("<6>") == true)
    #expect(lines.first { $0.contains("foreign") }?.hasPrefix("<3>") == true)
    #expect(lines.last?.hasPrefix("<2>") == true && lines.last?.contains("crashed") == true)
  }

  /// The variable is inherited, also by what writes elsewhere.
  @Test(arguments: ["1:2", "", "x"]) func othersDoNot(stream: String) throws {
    let relay = try UnheardRelay(
      shell: "export JOURNAL_STREAM='\(stream)';", redirection: "2>>\"$log\"")
    #expect(relay.serves())
    relay.send(SIGTERM)
    #expect(relay.end() == 0)
    let lines = Self.text(relay.log).split(separator: "\n")
    #expect(!lines.isEmpty && lines.allSatisfy { $0.hasPrefix("20") }, "\(lines)")
  }

  private static func text(_ file: URL) -> String { (try? String(contentsOf: file, encoding: .utf8)) ?? "" }
}
