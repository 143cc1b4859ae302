import Foundation
import Relay
import Testing

@testable import Voltlane

/// The unit for systemd, against what the relay needs, what the documentation shows and what systemd says.
@Suite struct UnitTests {
  private static let folder = ReadmeTests.root.appendingPathComponent("tools/packaging")

  private static func unit() throws -> String {
    try ReadmeTests.text(folder.appendingPathComponent("voltlane.service"))
  }

  /// The documentation shows it, in an indented block.
  @Test(arguments: ["voltlane.service", "voltlane.socket", "growing-delays.conf"])
  func theDocumentationShowsIt(_ file: String) throws {
    let lines = try ReadmeTests.text(Self.folder.appendingPathComponent(file)).split(
      separator: "\n", omittingEmptySubsequences: false
    ).drop { !$0.hasPrefix("[") }.dropLast()
    let block = lines.map { $0.isEmpty ? "" : "    \($0)" }.joined(separator: "\n")
    let page = try ReadmeTests.text(ReadmeTests.documentation.appendingPathComponent("Operation.md"))
    #expect(page.contains("\n\n\(block)\n\n"), "Operation.md should have this block:\n\(block)")
  }

  /// The settings that the package installs are valid, with those that are commented out.
  @Test func itsSettingsAreValid() throws {
    let text = try ReadmeTests.text(Self.folder.appendingPathComponent("voltlane.toml"))
    let configuration = try ConfigurationTests.load(file: text).configuration
    #expect(configuration.identity == "/var/lib/voltlane/relay.key")
    #expect(configuration.control == "/run/voltlane/control.sock")
    let active = text.split(separator: "\n").filter { !$0.hasPrefix("#") }.map { $0.split(separator: " ")[0] }
    // The others, each in the place of the one that it would replace.
    let others = text.split(separator: "\n").filter { $0.hasPrefix("# ") && $0.contains(" = ") }.map { $0.dropFirst(2) }
    #expect(others.count == 4)
    let group = "unix-socket-group = \"voltlane\""
    let changed = others.map { $0 == group ? "unix-socket-group = \"0\"" : String($0) }.joined(separator: "\n")
    #expect(try ConfigurationTests.load(file: changed).configuration.relay.unixSocketMode == 0o660)
    #expect(active == ["listen", "backend", "identity", "control"])
  }

  /// The relay says when it serves clients, and is ended if a thread of it hangs.
  @Test func itListensToTheRelay() throws {
    #expect(try Self.value("Service", "Type") == "notify")
    #expect(try Self.value("Service", "WatchdogSec") != nil)
    let stop = try #require(try Self.value("Service", "TimeoutStopSec"))
    let timeout = try ConfigurationTests.load().configuration.relay.shutdownTimeout
    #expect(try #require(Int(stop.dropLast())) > timeout.components.seconds)
  }

  /// The value of a key in a section.
  private static func value(_ section: String, _ key: String) throws -> String? {
    var current = ""
    for line in try unit().split(separator: "\n") {
      if line.hasPrefix("[") { current = String(line.dropFirst().dropLast()) }
      if current == section, line.hasPrefix("\(key)=") { return String(line.dropFirst(key.count + 1)) }
    }
    return nil
  }

  @Test func itNeverGivesUp() throws {
    #expect(try Self.value("Unit", "StartLimitIntervalSec") == "0")
    #expect(try Self.value("Service", "Restart") == "on-failure")
    #expect(try Self.value("Service", "RestartSec") != nil)
    let prevented = try #require(try Self.value("Service", "RestartPreventExitStatus")).split(separator: " ")
    // Wrong settings stay wrong; a lost backend (75) and a port that is taken (1) do not.
    #expect(prevented == ["64", "78"])
    #expect(try Self.value("Service", "ExecStartPre") == nil)
  }

  /// For as many threads as there can be.
  @Test func itsLockedMemoryIsEnoughForAllRings() throws {
    let text = try #require(try Self.value("Service", "LimitMEMLOCK"))
    let limit = try #require(text.hasSuffix("M") ? Int(text.dropLast()).map { $0 << 20 } : nil)
    var most = RelayConfiguration(listeners: [], backend: .tcp(host: "127.0.0.1", port: 1))
    most.shards = RelayConfiguration.shardRange.upperBound
    most.threads = .fixed(most.shards)
    most.handshakeWorkers = RelayConfiguration.handshakeWorkerRange.upperBound
    most.firehoseCore = .own
    #expect(most.ringCount == 321)
    #expect(limit >= most.ringMemory)
  }

  /// Sockets that the documentation names are in a folder that the unit makes.
  @Test func itsSocketsHaveAFolder() throws {
    let folder = try #require(try Self.value("Service", "RuntimeDirectory"))
    #expect(try Self.value("Service", "ProtectSystem") == "strict")
    for page in ["Configuration.md", "Operation.md"] {
      let text = try ReadmeTests.text(ReadmeTests.documentation.appendingPathComponent(page))
      let sockets = text.matches(of: #/unix:(/run/[^"` ,]+)/#).map(\.1)
      #expect(!sockets.isEmpty && sockets.allSatisfy { $0.hasPrefix("/run/\(folder)/") }, "\(page): \(sockets)")
    }
  }

  @Test(.enabled(if: FileManager.default.isExecutableFile(atPath: "/usr/bin/systemd-analyze"), "systemd is there"))
  func systemdFindsNothingWrong() throws {
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent("voltlane-unit-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: false)
    defer { try? FileManager.default.removeItem(at: folder) }
    let file = folder.appendingPathComponent("voltlane.service")
    // The program is not installed here.
    let unit = try Self.unit().replacing("/usr/bin/voltlane", with: "/bin/true")
    try Data(unit.utf8).write(to: file)
    let outcome = try BuiltProgram(name: "/usr/bin/systemd-analyze").run(["verify", "--man=no", file.path])
    let ours = outcome.errors.split(separator: "\n").filter { $0.contains("voltlane.service") }
    #expect(ours.isEmpty, "\(outcome.errors)")
    // It does say what it does not understand.
    try Data(unit.replacing("RestartSec=2s", with: "RestartSec=soon").utf8).write(to: file)
    let wrong = try BuiltProgram(name: "/usr/bin/systemd-analyze").run(["verify", "--man=no", file.path])
    #expect(wrong.errors.contains("voltlane.service") && wrong.errors.contains("soon"), "\(wrong.errors)")
  }

  // MARK: Locked memory

  /// Runs the relay as a user of its own with a limit of locked memory. The kernel counts for each user, so each run
  /// has another one.
  private func run(memlock: Int, _ arguments: [String]) throws -> BuiltProgram.Outcome {
    let relay = try #require(BuiltProgram.folder).appendingPathComponent("voltlane").path
    let user = String(UInt32.random(in: 1 << 20...1 << 30))
    return try BuiltProgram(name: "/usr/bin/prlimit").run(
      ["--memlock=\(memlock)", "/usr/bin/setpriv", "--reuid", user, "--regid", user, "--clear-groups", relay]
        + arguments)
  }

  /// The preflight makes all rings, so it says what the start would meet; and what is said to be enough is.
  @Test(.enabled(if: geteuid() == 0 && BuiltProgram.folder != nil, "to be somebody else takes the superuser"))
  func preflightSeesRingsThatDoNotFit() throws {
    let flags = ["--threads", "5", "--handshake-workers", "2", "--firehose-core", "own", "--io", "uring"]
    let configuration = try configure(flags).relay
    let start = flags + ["--listen", "127.0.0.1:0", "--backend", "127.0.0.1:1"]
    let enough = try run(memlock: configuration.ringMemory, ["--preflight"] + flags)
    #expect(enough.output.contains("ok    io_uring"), "\(enough.output)")
    let short = try run(memlock: configuration.ringMemory / 2, ["--preflight"] + flags)
    // Older kernels do not count them.
    if short.output.contains("ok    io_uring") { return }
    #expect(short.code == 1)
    #expect(
      short.output.contains("do: LimitMEMLOCK=\(configuration.ringMemory >> 10)K or more in systemd"), "\(short.output)"
    )
    let refused = try run(memlock: configuration.ringMemory / 2, start)
    #expect(refused.code == 1)
    #expect(refused.errors.contains("cannot start: rings count as locked memory: "), "\(refused.errors)")
    // As the limit of a container's root is.
    #expect(try run(memlock: 64 << 10, ["--preflight"] + flags).code == 1)
  }
}
