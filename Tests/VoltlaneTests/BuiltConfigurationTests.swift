import Foundation
import Testing

@testable import Voltlane

/// Settings in a file, as the built program takes them.
@Suite(.enabled(if: BuiltProgram.folder != nil, "the programs stand beside the tests"))
struct BuiltConfigurationTests {
  /// A file with `text`, for the time of `body`.
  private func withFile(_ text: String, _ body: (URL) throws -> Void) throws {
    let file = URL(fileURLWithPath: NSTemporaryDirectory() + "voltlane-\(UUID().uuidString).toml")
    try Data(text.utf8).write(to: file)
    defer { try? FileManager.default.removeItem(at: file) }
    try body(file)
  }

  @Test func goodSettingsAreChecked() throws {
    try withFile("stale-timeout = '1m'\n[master]\naddress = '10.0.0.5:1'") { file in
      let outcome = try BuiltProgram.relay.run(["--check-config", "--config", file.path])
      #expect(outcome.code == 0)
      #expect(outcome.output.contains("no mistakes found"))
      #expect(outcome.output.contains("warning: \(file.path):3:11: master.address is a setting of connserver"))
    }
  }

  /// EX_CONFIG, with a line for each mistake; the relay itself does not start with them either.
  @Test(arguments: [["--check-config"], ["--print-config"], []])
  func wrongFileExitsWith78(arguments: [String]) throws {
    try withFile("shards = 0\nstale-timeout = 5") { file in
      let outcome = try BuiltProgram.relay.run(arguments + ["--config", file.path])
      #expect(outcome.code == 78)
      #expect(outcome.errors.contains("Error: \(file.path):1:10: shards: '0' is not allowed"), "\(outcome.errors)")
      #expect(outcome.errors.contains("Error: \(file.path):2:17: stale-timeout: '5'"), "\(outcome.errors)")
      #expect(outcome.output.isEmpty)
    }
  }

  /// Also where it is only wrong together with a default.
  @Test func wrongListenerInAFileExitsWith78() throws {
    try withFile("listen = ['10.0.0.1:7', 'localhost:42001']") { file in
      let outcome = try BuiltProgram.relay.run(["--check-config", "--config", file.path])
      #expect(outcome.code == 78)
      #expect(
        outcome.errors.hasPrefix("Error: \(file.path):1:25: listen: 'localhost:42001' is not allowed: it is where"))
    }
  }

  @Test func missingFileExitsWith78() throws {
    let outcome = try BuiltProgram.relay.run(["--check-config", "--config", "/no/such/file.toml"])
    #expect(outcome.code == 78)
    #expect(outcome.errors == "Error: /no/such/file.toml: it cannot be read: No such file or directory\n")
  }

  @Test func wrongFlagExitsWith64() throws {
    let outcome = try BuiltProgram.relay.run(["--check-config", "--shards", "0"])
    #expect(outcome.code == 64)
    #expect(outcome.errors.contains("--shards: '0' is not allowed"))
  }

  @Test func variablesCount() throws {
    let good = try BuiltProgram.relay.run(["--print-config"], environment: ["VOLTLANE_STALE_TIMEOUT": "7m"])
    #expect(good.code == 0)
    #expect(good.output.contains("\nstale-timeout = \"7m\" "), "\(good.output)")
    #expect(good.output.contains("# VOLTLANE_STALE_TIMEOUT\n"))
    let unknown = try BuiltProgram.relay.run([], environment: ["VOLTLANE_STALE_TIME": "7m"])
    #expect(unknown.code == 78)
    #expect(unknown.errors.contains("VOLTLANE_STALE_TIME: there is no such setting; did you mean VOLTLANE_STALE"))
  }

  /// A file that nobody named is not read, but anyone who relies on it is told.
  @Test func earlierFileIsNoticed() throws {
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent("voltlane-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    try Data("[general]\nlog_level = 'error'".utf8).write(to: folder.appendingPathComponent("connserver.toml"))
    let relay = try BuiltProgram.relay.start(["--listen", "127.0.0.1:0", "--backend", "echo"], in: folder)
    let log = relay.log(until: "backend is ")
    #expect(log.contains("there is a connserver.toml here, which is only read with --config connserver.toml"), "\(log)")
    relay.send(SIGTERM)
    #expect(relay.finish().code == 0)
  }

  @Test func hangUpReadsTheFileAnew() throws {
    try withFile("log-level = 'info'\nstale-timeout = '1m'\nlisten = '127.0.0.1:0'") { file in
      let relay = try BuiltProgram.relay.start(["--backend", "echo", "--config", file.path])
      #expect(relay.log(until: "backend is ").contains("read the settings in \(file.path)"))

      try Data("stale-timeout = '2m'\nlisten = ['127.0.0.1:0', '127.0.0.1:0']\n".utf8).write(to: file)
      relay.send(SIGHUP)
      let taken = relay.log(until: "from the next start on")
      #expect(taken.contains("SIGHUP: stale-timeout: 2m, was 1m\n"), "\(taken)")
      #expect(taken.contains("SIGHUP: listen: 127.0.0.1:0, 127.0.0.1:0, was 127.0.0.1:0, from the next start on\n"))

      try Data("stale-timeout = '3m'\nshards = 0\n".utf8).write(to: file)
      relay.send(SIGHUP)
      let refused = relay.log(until: "shards: '0'")
      #expect(
        refused.contains("SIGHUP: not reloaded: \(file.path):2:10: shards: '0' is not"), "\(refused)")

      // The level takes effect: a signal more, and what is said at `info` no longer comes.
      try Data("stale-timeout = '2m'\nlog-level = 'error'\nlisten = ['127.0.0.1:0', '127.0.0.1:0']\n".utf8)
        .write(to: file)
      relay.send(SIGHUP)
      #expect(relay.log(until: "from the next start on").contains("SIGHUP: log-level: error, was info"))
      relay.send(SIGTERM)
      let outcome = relay.finish()
      #expect(outcome.code == 0)
      #expect(outcome.errors.isEmpty, "\(outcome.errors)")
    }
  }

  /// An edited list applies to the next client; one with a mistake is rejected whole, and the old one stays in effect.
  @Test func hangUpReadsListsAnew() throws {
    try withFile("# nobody yet\n") { list in
      let relay = try BuiltProgram.relay.start(
        ["--listen", "127.0.0.1:0", "--backend", "echo", "--deny", "@\(list.path)"])
      let started = relay.log(until: "backend is ")
      let address = try #require(started.firstMatch(of: /listening on (\S+)/)?.output.1)
      func connect() throws -> Int32 {
        try BuiltProgram.client.run([String(address), "--give-up", "0s", "--wait", "0s"]).code
      }
      #expect(try connect() == 0)

      try Data("127.0.0.0/8\n".utf8).write(to: list)
      relay.send(SIGHUP)
      #expect(relay.log(until: "gone").contains("SIGHUP: deny: networks in its files: 1 new, 0 gone\n"))
      #expect(try connect() == 69)

      try Data("# nobody\n127.0.0.0/33\n".utf8).write(to: list)
      relay.send(SIGHUP)
      let refused = relay.log(until: "not reloaded")
      #expect(refused.contains("\(list.path):2: '33' is not a prefix length from 0 to 32"), "\(refused)")
      #expect(try connect() == 69)

      try Data("# nobody\n".utf8).write(to: list)
      relay.send(SIGHUP)
      let lowered = relay.log(until: "gone")
      #expect(
        lowered.contains(
          "warning  SIGHUP: deny: networks in its files: 0 new, 1 gone; this protects less than before\n"), "\(lowered)"
      )
      #expect(try connect() == 0)
      relay.send(SIGTERM)
      #expect(relay.finish().code == 0)
    }
  }

  /// And a list of exceptions from it.
  @Test func hangUpReadsExceptionsAnew() throws {
    try withFile("10.0.0.0/8\n") { list in
      let relay = try BuiltProgram.relay.start(
        ["--listen", "127.0.0.1:0", "--backend", "echo", "--deny", "127.0.0.0/8", "--allow", "@\(list.path)"])
      let started = relay.log(until: "backend is ")
      let address = try #require(started.firstMatch(of: /listening on (\S+)/)?.output.1)
      func connect() throws -> Int32 {
        try BuiltProgram.client.run([String(address), "--give-up", "0s", "--wait", "0s"]).code
      }
      #expect(try connect() == 69)

      try Data("10.0.0.0/8\n127.0.0.1 # this machine\n".utf8).write(to: list)
      relay.send(SIGHUP)
      let lowered = relay.log(until: "gone")
      #expect(lowered.contains("SIGHUP: allow: networks in its files: 1 new, 0 gone; this protects less than before\n"))
      #expect(try connect() == 0)
      relay.send(SIGTERM)
      #expect(relay.finish().code == 0)
    }
  }

  @Test func preflightLooksAtThisMachine() throws {
    let outcome = try BuiltProgram.relay.run(["--preflight"])
    #expect(outcome.output.contains("kernel              Linux "), "\(outcome.output)")
    #expect(outcome.output.contains("io_uring            "))
    #expect(outcome.code == (outcome.output.contains("\nfail  ") ? 1 : 0))
  }
}
