import Foundation
import Testing

@testable import Voltlane

/// Files and streams of the built relay: pipes at the start, what SIGHUP meets, and output that nobody takes.
@Suite(.enabled(if: BuiltProgram.folder != nil, "the programs stand beside the tests"))
final class BuiltFilesTests {
  private let folder: URL
  private var list: URL { folder.appendingPathComponent("list") }
  private static let relay = ["--listen", "127.0.0.1:0", "--backend", "echo"]

  init() throws {
    folder = FileManager.default.temporaryDirectory.appendingPathComponent("voltlane-files-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: false)
  }

  deinit {
    try? FileManager.default.removeItem(at: folder)
  }

  /// What a shell makes of `command`, in which $V is the relay.
  private func shell(_ command: String) throws -> BuiltProgram.Outcome {
    let relay = try #require(BuiltProgram.folder).appendingPathComponent("voltlane").path
    return try BuiltProgram.shell.run(["-c", command], environment: ["V": relay])
  }

  // MARK: Once

  @Test func pipesAreReadOnce() throws {
    let toml = "printf 'stale-timeout = \"7m\"\\ndeny = [\"10.0.0.0/8\"]\\n'"
    let printed = try shell("$V --print-config --config <(\(toml))")
    #expect(printed.output.contains("stale-timeout = \"7m\" ") && printed.output.contains("deny = [\"10.0.0.0/8\"] "))
    #expect(try shell("\(toml) | $V --print-config --config /dev/stdin").output.contains("stale-timeout = \"7m\" "))
    let wrong = try shell("$V --check-config --deny @<(echo 10.0.0.0/33)")
    #expect(wrong.code == 64 && wrong.errors.contains("'33' is not a prefix length"), "\(wrong.errors)")
    let preflight = try shell("$V --preflight --config <(echo 'threads = 9') --firehose-core own")
    #expect(preflight.output.contains("10 threads move packets"), "\(preflight.output)")
  }

  /// The list is in effect, and SIGHUP says that it cannot be read again instead of emptying it.
  @Test func aRelayThatStartsWithAPipe() throws {
    let relay = try #require(BuiltProgram.folder).appendingPathComponent("voltlane").path
    let running = try BuiltProgram.shell.start(
      ["-c", "exec $V \(Self.relay.joined(separator: " ")) --deny @<(echo 127.0.0.0/8)"], environment: ["V": relay])
    let started = running.log(until: "backend is ")
    let address = try #require(started.firstMatch(of: /listening on (\S+)/)?.output.1, "\(started)")
    let client = [String(address), "--give-up", "0s", "--wait", "0s"]
    #expect(try BuiltProgram.client.run(client).code == 69)
    running.send(SIGHUP)
    #expect(running.log(until: "not reloaded").contains("could only be read at the start"))
    #expect(try BuiltProgram.client.run(client).code == 69)
    running.send(SIGTERM)
    #expect(running.finish().code == 0)
  }

  /// A pipe into which nothing is written holds up the start, but not its end.
  @Test func aStartThatWaitsForAPipeCanBeEnded() throws {
    #expect(mkfifo(list.path, 0o600) == 0)
    let relay = try BuiltProgram.relay.start(Self.relay + ["--deny", "@\(list.path)"])
    // Returns when the relay has opened it.
    let writer = open(list.path, O_WRONLY)
    defer { close(writer) }
    #expect(end(relay).code == -SIGTERM)
  }

  // MARK: SIGHUP

  private func started(_ arguments: [String] = [], list text: String) throws -> BuiltProgram.Running {
    try Data(text.utf8).write(to: list)
    let relay = try BuiltProgram.relay.start(Self.relay + ["--deny", "@\(list.path)"] + arguments)
    _ = relay.log(until: "backend is ")
    return relay
  }

  /// Sends SIGHUP and returns what is said of it, up to a line with `text`.
  private func hangUp(_ relay: BuiltProgram.Running, until text: String) -> String {
    relay.send(SIGHUP)
    return relay.log(until: text)
  }

  private func end(_ relay: BuiltProgram.Running) -> BuiltProgram.Outcome {
    relay.send(SIGTERM)
    return relay.finish()
  }

  @Test func aPipeAtHangUpHoldsNobodyUp() throws {
    let relay = try started(list: "10.0.0.1\n")
    try FileManager.default.removeItem(at: list)
    #expect(mkfifo(list.path, 0o600) == 0)
    let log = hangUp(relay, until: "not reloaded")
    #expect(log.contains("SIGHUP reads files again, and this is a pipe"), "\(log)")
    #expect(end(relay).code == 0)
  }

  /// A file whose opening hangs, as on a file system whose server is away: signals go on, and the relay ends when it is
  /// asked to.
  @Test(.enabled(if: HungFile.isPossible, "holding up the opening of a file takes the superuser and fanotify"))
  func aFileThatHangs() throws {
    let relay = try started(list: "10.0.0.1\n")
    do {
      let hung = try #require(HungFile(list.path))
      relay.send(SIGHUP)
      hung.waitForOpening()
      relay.send(SIGUSR1)
      #expect(relay.log(until: "totals since the start").contains("SIGUSR1"))
      // It is given up, and so is another one as long as it hangs.
      #expect(relay.log(until: "file system hangs").contains("reading takes longer than 15s"))
      #expect(hangUp(relay, until: "still waiting for a file").contains("not reloaded"))
    }
    // And it comes back where the file does.
    var log = ""
    repeat {
      log = hangUp(relay, until: "SIGHUP: ")
    } while log.contains("still waiting for a file")
    #expect(log.contains("no setting has changed"), "\(log)")
    #expect(end(relay).code == 0)
  }

  @Test(.enabled(if: HungFile.isPossible, "holding up the opening of a file takes the superuser and fanotify"))
  func theEndDoesNotWaitForAFileThatHangs() throws {
    let relay = try started(list: "10.0.0.1\n")
    let hung = try #require(HungFile(list.path))
    relay.send(SIGHUP)
    hung.waitForOpening()
    #expect(end(relay).code == 0)
  }

  /// Reading takes a thread. Where none can be had, nothing changes, and the next SIGHUP tries again.
  @Test(.enabled(if: geteuid() == 0, "to be somebody else takes the superuser")) func noThreadToReadWith() throws {
    #expect(chmod(folder.path, 0o755) == 0)
    try Data("10.0.0.1\n".utf8).write(to: list)
    let program = try #require(BuiltProgram.folder).appendingPathComponent("voltlane").path
    // A user of its own, whose threads count for it alone.
    let user = "\(UInt32.random(in: 100_000..<1_000_000_000))"
    let setpriv = BuiltProgram(name: "/usr/bin/setpriv")
    let asUser = ["--reuid", user, "--regid", user, "--clear-groups"]
    let relay = try setpriv.start(asUser + [program] + Self.relay + ["--deny", "@\(list.path)"])
    defer { relay.send(SIGKILL) }
    try #require(relay.log(until: "backend is ").contains("backend is "))
    let limit = asUser + ["prlimit", "--pid", "\(relay.process.processIdentifier)"]
    try #require(try setpriv.run(limit + ["--nproc=1:"]).code == 0)
    let log = hangUp(relay, until: "not reloaded")
    #expect(log.contains("no thread to read the settings: Resource temporarily unavailable"), "\(log)")
    try #require(try setpriv.run(limit + ["--nproc=1000:"]).code == 0)
    let again = hangUp(relay, until: "SIGHUP: ")
    #expect(again.contains("no setting has changed"), "\(again)")
    #expect(end(relay).code == 0)
  }

  /// Cut off at a line's end, by a program that still has it open: half of a good list is a good list.
  @Test func aHalfWrittenFileIsRefusedWhole() throws {
    let whole = (0..<1000).map { "10.\($0 >> 8).\($0 & 255).1\n" }
    let relay = try started(list: whole.joined())
    let writer = try FileHandle(forWritingTo: list)
    try writer.truncate(atOffset: 0)
    for text in ["", whole.prefix(500).joined()] {
      try writer.write(contentsOf: Data(text.utf8))
      let log = hangUp(relay, until: "not reloaded")
      #expect(log.contains("\(list.path): it is ") && !log.contains("gone"), "\(log)")
    }
    try writer.write(contentsOf: Data(whole.suffix(500).joined().utf8))
    try writer.close()
    #expect(hangUp(relay, until: "SIGHUP: ").contains("no setting has changed"))
    #expect(end(relay).code == 0)
  }

  /// And one of which nothing says that it is half-written but its end.
  @Test func anEmptyFileIsRefused() throws {
    let config = folder.appendingPathComponent("relay.toml")
    let text = "max-clients-per-ip = 8\nlisten = '127.0.0.1:0'\nbackend = 'echo'\n"
    try Data(text.utf8).write(to: config)
    let relay = try BuiltProgram.relay.start(["--config", config.path])
    _ = relay.log(until: "backend is ")
    for wrong in ["", "# half\nmax-clients-per-ip = 8", "max-clients-per-ip = 8\n\0\0"] {
      try Data(wrong.utf8).write(to: config)
      #expect(hangUp(relay, until: "not reloaded").contains("\(config.path):"))
    }
    try Data("# half\n\(text.split(separator: "\n").dropFirst().joined(separator: "\n"))\n".utf8).write(to: config)
    let lowered = hangUp(relay, until: "less than before")
    #expect(lowered.contains("warning  SIGHUP: max-clients-per-ip: 64, was 8; this protects less"), "\(lowered)")
    #expect(end(relay).code == 0)
  }

  /// A file that is something else altogether does not fill the log.
  @Test func manyMistakesAreCounted() throws {
    let config = folder.appendingPathComponent("relay.toml")
    try Data("# nothing\n".utf8).write(to: config)
    let relay = try BuiltProgram.relay.start(Self.relay + ["--config", config.path])
    _ = relay.log(until: "backend is ")
    // Few enough for a debug build on a busy machine: a reload that takes longer than 15 s is given up.
    try Data((0..<200).map { "key\($0) = 1\n" }.joined().utf8).write(to: config)
    let log = hangUp(relay, until: "more mistakes")
    #expect(log.contains("180 more mistakes, which --check-config lists"), "\(log)")
    #expect(log.split(separator: "\n").count { $0.contains("there is no such setting") } == 20)
    #expect(end(relay).code == 0)
  }

  /// `cp` in a loop against SIGHUP in a loop: no reload ever takes a part of the file.
  @Test func copiesAgainstHangUps() throws {
    let good = folder.appendingPathComponent("good")
    let lines = (0..<20_000).map { "10.\($0 >> 8).\($0 & 255).1\n" }
    try Data(lines.joined().utf8).write(to: good)
    let relay = try started(list: lines.joined())
    let rounds = 12
    for round in 0..<rounds {
      let copying = Process()
      copying.executableURL = URL(fileURLWithPath: "/bin/sh")
      // From one copy to many within the time of a reload.
      copying.arguments = ["-c", "for n in $(seq \(1 + round * round)); do cp '\(good.path)' '\(list.path)'; done"]
      try copying.run()
      relay.send(SIGHUP)
      copying.waitUntilExit()
      let log = relay.log(until: "SIGHUP: ")
      #expect(log.contains("no setting has changed") || log.contains("it is being written"), "\(log)")
    }
    let outcome = end(relay)
    #expect(outcome.code == 0)
    #expect(!outcome.errors.contains("gone"))
  }

  // MARK: Files that nobody named

  @Test func variablesInAFileAreNoticed() throws {
    let file = folder.appendingPathComponent(".env")
    for (text, isNoticed) in [("OTHER=1\n", false), ("# old\nexport VOLTLANE_LISTENER_ADDRESS=[::]:1\nX=2\n", true)] {
      try Data(text.utf8).write(to: file)
      let relay = try BuiltProgram.relay.start(Self.relay, in: folder)
      let log = relay.log(until: "backend is ")
      let remark = "there is a .env here with VOLTLANE_LISTENER_ADDRESS, which is not read"
      #expect(log.contains(remark) == isNoticed)
      #expect(end(relay).code == 0)
      let checked = try BuiltProgram.relay.start(["--check-config"], in: folder).finish()
      #expect(checked.code == 0 && checked.output.contains("warning: \(remark)") == isNoticed, "\(checked)")
    }
    // Nor does a pipe of that name hold up the start.
    try FileManager.default.removeItem(at: file)
    #expect(mkfifo(file.path, 0o600) == 0)
    let relay = try BuiltProgram.relay.start(Self.relay, in: folder)
    #expect(relay.log(until: "backend is ").contains("backend is "))
    #expect(end(relay).code == 0)
  }

  // MARK: Output

  @Test(
    arguments: ["voltlane", "voltlane-connect", "voltlane-echo"],
    ["--help", "--version", "--settings-table", "--print-config", "--check-config", "--preflight"])
  func outputThatCannotBeWrittenIsAFailure(program: String, flag: String) throws {
    if program != "voltlane", flag != "--help", flag != "--version" { return }
    let path = try #require(BuiltProgram.folder).appendingPathComponent(program).path
    for (stream, reason) in [(">/dev/full", "No space left on device"), (">&-", "Bad file descriptor")] {
      let outcome = try shell("'\(path)' \(flag) \(stream)")
      #expect(outcome.code == 74)
      #expect(outcome.errors == "\(program): cannot write to stdout: \(reason)\n")
    }
  }

  /// Nothing that the relay opens gets the number of a stream that was closed, to which the log would go.
  @Test func closedStreamsStayClosed() throws {
    let running = try BuiltProgram.shell.start(
      [
        "-c", "exec $V \(Self.relay.joined(separator: " ")) <&- >&- 2>&-",
      ], environment: ["V": try #require(BuiltProgram.folder).appendingPathComponent("voltlane").path])
    let descriptors = "/proc/\(running.process.processIdentifier)/fd"
    // It has rings, or what there is instead, once it runs.
    var links: [String: String] = [:]
    repeat {
      let names = (try? FileManager.default.contentsOfDirectory(atPath: descriptors)) ?? []
      links = names.reduce(into: [:]) {
        $0[$1] = try? FileManager.default.destinationOfSymbolicLink(atPath: "\(descriptors)/\($1)")
      }
    } while running.process.isRunning && !links.values.contains { $0.contains("io_uring") || $0.contains("eventpoll") }
    for number in ["0", "1"] { #expect(links[number] == "/dev/null") }
    // The log's own pipe, through which others write to it.
    #expect(links["2"]?.hasPrefix("pipe:") == true)
    #expect(end(running).code == 0)
  }
}
