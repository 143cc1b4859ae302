import Foundation
import Testing
import VoltlaneSettings

/// What a crash leaves behind: one line without anything from memory, the signal for whoever started the program, no
/// core file, and no other process.
@Suite(.enabled(if: BuiltProgram.folder != nil, "the programs stand beside the tests"), .timeLimit(.minutes(5)))
struct CrashTests {
  static let signals = [
    (SIGILL, "SIGILL"), (SIGTRAP, "SIGTRAP"), (SIGABRT, "SIGABRT"), (SIGBUS, "SIGBUS"), (SIGFPE, "SIGFPE"),
    (SIGSEGV, "SIGSEGV"), (SIGSYS, "SIGSYS"),
  ]

  /// As an operator may have it for other programs: the runtime would print registers and what they point to.
  static let hostile = ["SWIFT_BACKTRACE": "enable=yes,interactive=no,registers=all,images=all,threads=all,timeout=30s"]

  @Test(arguments: signals) func crashIsOneLine(signal: Int32, name: String) throws {
    let errors = Pipe()
    let relay = try UnheardRelay(
      errors: errors, shell: "ulimit -c unlimited;", environment: Self.hostile)
    #expect(relay.serves())
    relay.send(signal)
    // Nobody has it open any more: no other process was started.
    let log = String(decoding: errors.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
    #expect(relay.end() == -signal)
    let lines = log.split(separator: "\n")
    let crash = try #require(lines.firstIndex { $0.contains(" critical crashed: ") }, "\(log)")
    #expect(crash == lines.count - 1, "\(log)")
    let from = ProcessInfo.processInfo.processIdentifier
    let pattern = #/^\S+Z critical crashed: (\w+)  from-process=(\d+) thread=\S+ version=(\S+) build=(\w+) at=(\S+)$/#
    let match = try #require(lines[crash].wholeMatch(of: pattern), "\(lines[crash])")
    #expect(match.1 == name)
    #expect(match.2 == "\(from)")
    #expect(match.3 == Version.current)
    #expect(match.4.count == 40, "\(match.4)")
    for place in match.5.split(separator: ",") {
      #expect(place.wholeMatch(of: #/[\w.+-]+\+0x[0-9a-f]+/#) != nil, "\(place)")
    }
    #expect(match.5.contains("voltlane+0x"))
    // It was running in its own folder.
    let files = try FileManager.default.contentsOfDirectory(atPath: relay.folder.path)
    #expect(!files.contains { $0.hasPrefix("core") }, "\(files)")
  }

  /// The places are what a symbolizer takes.
  @Test func placesAreFunctionsOfTheProgram() throws {
    let errors = Pipe()
    let relay = try UnheardRelay(errors: errors)
    #expect(relay.serves())
    relay.send(SIGSEGV)
    let log = String(decoding: errors.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
    let places = log.split(separator: "voltlane+").dropFirst().map { String($0.prefix { $0.isHexDigit || $0 == "x" }) }
    let symbolizer = Process()
    symbolizer.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    let program = BuiltProgram.folder!.appendingPathComponent("voltlane").path
    symbolizer.arguments = ["llvm-symbolizer", "--obj=\(program)"] + places
    let output = Pipe()
    symbolizer.standardOutput = output
    symbolizer.standardError = FileHandle.nullDevice
    try symbolizer.run()
    let symbols = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
    symbolizer.waitUntilExit()
    // Not every machine has one.
    guard symbolizer.terminationStatus == 0 else { return }
    #expect(symbols.contains("ControlLoop") && symbols.contains("main"), "\(symbols)")
  }

  /// The process is gone all the same.
  @Test func stalledLogDelaysNoCrash() throws {
    let pipe = StalledPipe()
    let relay = try UnheardRelay(errors: pipe.pipe, environment: Self.hostile)
    #expect(relay.serves())
    relay.send(SIGSEGV)
    #expect(relay.end() == -SIGSEGV)
  }

  /// Core files have keys in them: they are written only for someone who asks for them while it runs.
  @Test func coreFilesAreOff() throws {
    let relay = try UnheardRelay(errors: FileHandle.nullDevice, shell: "ulimit -c unlimited;")
    #expect(relay.serves())
    let limits = try String(contentsOfFile: "/proc/\(relay.process.processIdentifier)/limits", encoding: .utf8)
    let line = try #require(limits.split(separator: "\n").first { $0.hasPrefix("Max core file size") })
    #expect(line.split(separator: " ")[4...5] == ["0", "unlimited"], "\(line)")
    relay.send(SIGTERM)
    #expect(relay.end() == 0)
  }

  /// The client's program holds a key as well, the backend's what clients send.
  @Test(arguments: [BuiltProgram.client, .echo]) func otherProgramsSayTheSame(program: BuiltProgram) throws {
    let backend = try BuiltProgram.relay.start(["--listen", "127.0.0.1:0", "--backend", "echo"])
    defer {
      backend.send(SIGKILL)
      _ = backend.finish()
    }
    let log = backend.log(until: "backend connected")
    let line = try #require(log.split(separator: "\n").first { $0.contains("listening on ") })
    let address = String(try #require(line.split(separator: " ").last))
    let isClient = program.name == BuiltProgram.client.name
    let running = try program.start(isClient ? [address] : ["--listen", "127.0.0.1:0"], environment: Self.hostile)
    _ = running.log(until: isClient ? "relay key" : "listening on")
    running.send(SIGSEGV)
    let outcome = running.finish()
    #expect(outcome.code == -SIGSEGV)
    #expect(outcome.errors.split(separator: "\n").last?.contains("critical crashed: SIGSEGV  from-process=") == true)
    #expect(!outcome.errors.contains("***"), "\(outcome.errors)")
  }
}
