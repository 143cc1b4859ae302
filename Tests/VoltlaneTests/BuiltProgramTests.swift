import Foundation
import Testing
import VoltlaneSettings

@testable import Voltlane

@Suite(.enabled(if: BuiltProgram.folder != nil, "the programs stand beside the tests"))
struct BuiltProgramTests {
  @Test func help() throws {
    let outcome = try BuiltProgram.relay.run(["--help"])
    #expect(outcome.code == 0)
    #expect(outcome.output.contains("USAGE: voltlane"))
    #expect(outcome.output.contains("--max-packet-size"))
    #expect(outcome.errors.isEmpty)
  }

  @Test func version() throws {
    let outcome = try BuiltProgram.relay.run(["--version"])
    #expect(outcome.code == 0)
    #expect(outcome.output == "\(Version.current)\n")
  }

  @Test(arguments: [
    (["--shards", "0"], "Error: --shards: '0' is not allowed. Allowed: auto, or a number from 1 to 256."),
    (
      ["--cpus", "8191"],
      "Error: --cpus: '8191' is not allowed: this process is not allowed to run on CPU 8191, only on "
    ),
    (
      ["--congestion-control", "carrier-pigeon"],
      "Error: --congestion-control: 'carrier-pigeon' is not allowed: this kernel has "
    ),
    (["--bogus"], "Error: Unknown option '--bogus'"),
  ])
  func wrongValue(arguments: [String], message: String) throws {
    let outcome = try BuiltProgram.relay.run(arguments)
    #expect(outcome.code == 64)
    #expect(outcome.errors.contains(message), "\(outcome.errors)")
    #expect(outcome.output.isEmpty)
  }

  @Test func unusableListenerIsSaid() throws {
    let outcome = try BuiltProgram.relay.run(["--listen", "unix:/no/such/folder/socket"])
    #expect(outcome.code == 1)
    #expect(
      outcome.errors.contains("critical cannot start: cannot listen on unix:/no/such/folder/socket: No such file"))
  }

  /// With a file, the relay's key is the same after a restart; without one it is another.
  @Test func identityOutlivesTheRelay() throws {
    let file = NSTemporaryDirectory() + "voltlane-\(UUID().uuidString).key"
    defer { try? FileManager.default.removeItem(atPath: file) }
    let first = try publicKey(["--identity", file])
    #expect(first.log.contains("made a new key, and wrote it to \(file)"))
    #expect(first.key.count == 66)
    let second = try publicKey(["--identity", file])
    #expect(second.log.contains("read the key in \(file)"))
    #expect(second.key == first.key)
    #expect(try publicKey([]).key != first.key)
  }

  /// Which clients are refused, and why, can be asked for at any time.
  @Test func countersAreLoggedWhenAsked() throws {
    let relay = try BuiltProgram.relay.start([
      "--listen", "127.0.0.1:0", "--backend", "echo", "--limit-loopback", "on", "--deny", "127.0.0.0/8",
    ])
    let log = relay.log(until: "backend connected")
    let address = try #require(log.split(separator: "listening on ").last?.prefix { !$0.isWhitespace })
    #expect(try BuiltProgram.client.run([String(address)]).code != 0)
    relay.send(SIGUSR1)
    let lines = relay.log(until: "totals since the start").split(separator: "\n")
    #expect(lines.contains { $0.contains("SIGUSR1: what the threads have") && $0.contains("relay 0=shard 0") })
    let line = lines.last ?? ""
    #expect(line.contains("info     SIGUSR1: totals since the start  backendConnections=1"), "\(line)")
    #expect(line.contains(" clientsRefused=1 refusedDenied=1"), "\(line)")
    #expect(!line.contains("sessionsStarted"), "\(line)")
    relay.send(SIGTERM)
    #expect(relay.finish().code == 0)
  }

  /// What a relay logs as its public key, which is also what it shows to a client.
  private func publicKey(_ arguments: [String]) throws -> (key: String, log: String) {
    let relay = try BuiltProgram.relay.start(["--listen", "127.0.0.1:0", "--backend", "echo"] + arguments)
    let log = relay.log(until: "backend is ")
    let lines = log.split(separator: "\n")
    let key = try #require(lines.first { $0.contains("public key is ") }?.split(separator: " ").last)
    let address = try #require(lines.first { $0.contains("listening on ") }?.split(separator: " ").last)
    let client = try BuiltProgram.client.run([String(address), "--wait", "0"])
    #expect(client.errors.contains("relay key \(key)\n"), "\(client.errors)")
    relay.send(SIGTERM)
    #expect(relay.finish().code == 0)
    return (String(key), log)
  }

  @Test func unusableIdentityIsSaid() throws {
    let file = NSTemporaryDirectory() + "voltlane-\(UUID().uuidString).key"
    defer { try? FileManager.default.removeItem(atPath: file) }
    try Data("no key\n".utf8).write(to: URL(fileURLWithPath: file))
    try FileManager.default.setAttributes([.posixPermissions: 0o600], ofItemAtPath: file)
    let outcome = try BuiltProgram.relay.run(["--identity", file])
    #expect(outcome.code == 1)
    #expect(
      outcome.errors.contains("critical cannot start: the identity file \(file), line 1: a secret key of 6 characters"))
  }

  @Test(arguments: [SIGTERM, SIGINT]) func signalEndsItInAnOrderlyWay(signal: Int32) throws {
    let (relay, _) = try startRelay(["--backend", "echo"])
    relay.send(signal)
    let outcome = relay.finish()
    #expect(outcome.code == 0)
    #expect(outcome.errors.contains("draining"), "\(outcome.errors)")
    #expect(outcome.errors.contains("stopped"), "\(outcome.errors)")
  }

  @Test(arguments: [["--firehose-core", "shared"], ["--firehose-core", "own", "--shards", "2"]])
  func packetsAreEchoed(arguments: [String]) throws {
    let (relay, address) = try startRelay(["--backend", "echo"] + arguments)
    let client = try BuiltProgram.client.run([address], input: "hello\nworld\n")
    #expect(client.code == 0)
    #expect(client.output == "hello\nworld\n", "\(client.errors)")
    relay.send(SIGTERM)
    #expect(relay.finish().code == 0)
  }

  /// The end of a session is owed to a backend that is not there, so the drain cannot finish.
  @Test func secondSignalEndsItAtOnce() throws {
    let (relay, address) = try startRelay(["--backend", "unix:/no/such/backend", "--shutdown-timeout", "1h"])
    let client = try BuiltProgram.client.start([address])
    #expect(client.log(until: "client id").contains("client id"))
    relay.send(SIGTERM)
    #expect(relay.log(until: "draining").contains("draining"))
    relay.send(SIGINT)
    let outcome = relay.finish()
    #expect(outcome.code == 128 + SIGINT)
    #expect(outcome.errors.contains("again: exiting at once"), "\(outcome.errors)")
    _ = client.finish()
  }

  /// EX_TEMPFAIL, so that whatever started the relay can tell that starting it again may help. There is nobody to hand
  /// anything over to, so it ends before its time for that is over.
  @Test func lostBackendEndsItWith75() throws {
    let backend = try BuiltProgram.echo.start(["--listen", "127.0.0.1:0"])
    let address = try #require(backend.log(until: "listening on ").split(separator: " ").last)
      .trimmingCharacters(in: .newlines)
    let relay = try BuiltProgram.relay.start([
      "--listen", "127.0.0.1:0", "--backend", address, "--backend-loss", "exit", "--shutdown-timeout", "1h",
    ])
    let log = relay.log(until: "backend connected")
    #expect(log.contains("backend connected"))
    let listener = try #require(log.split(separator: "\n").first { $0.contains("listening on ") })
    let client = try BuiltProgram.client.start([String(try #require(listener.split(separator: " ").last))])
    #expect(client.log(until: "client id").contains("client id"))
    backend.send(SIGKILL)
    let outcome = relay.finish()
    #expect(outcome.code == 75)
    #expect(outcome.errors.contains("ending with the backend, as --backend-loss exit asks"), "\(outcome.errors)")
    #expect(outcome.errors.contains("exit code 75"), "\(outcome.errors)")
    #expect(!outcome.errors.contains("dialling again"), "\(outcome.errors)")
    _ = client.finish()
    #expect(backend.finish().code == -SIGKILL)
  }

  @Test func shutdownTimeoutEndsIt() throws {
    let (relay, address) = try startRelay(["--backend", "unix:/no/such/backend", "--shutdown-timeout", "100ms"])
    let client = try BuiltProgram.client.start([address])
    #expect(client.log(until: "client id").contains("client id"))
    relay.send(SIGTERM)
    let outcome = relay.finish()
    #expect(outcome.code == 0)
    #expect(outcome.errors.contains("--shutdown-timeout is over"), "\(outcome.errors)")
    _ = client.finish()
  }

  /// Every thread, the echo backend's too, stays on the CPUs given.
  @Test func cpusHoldEveryThread() throws {
    let cpu = try #require(Machine.current().allowedCPUs.last)
    let (relay, _) = try startRelay(["--backend", "echo", "--cpus", "\(cpu)", "--shards", "2"])
    let tasks = "/proc/\(relay.process.processIdentifier)/task"
    let threads = try FileManager.default.contentsOfDirectory(atPath: tasks)
    // One of those that only started the others may have ended meanwhile.
    let statuses = threads.compactMap { System.contents(of: "\(tasks)/\($0)/status") }
    #expect(statuses.count > 2)
    for status in statuses { #expect(status.contains("Cpus_allowed_list:\t\(cpu)\n")) }
    relay.send(SIGTERM)
    #expect(relay.finish().code == 0)
  }

  /// A relay on a free port, and where clients reach it.
  private func startRelay(_ arguments: [String]) throws -> (BuiltProgram.Running, address: String) {
    let relay = try BuiltProgram.relay.start(["--listen", "127.0.0.1:0"] + arguments)
    let log = relay.log(until: "backend is ")
    let line = try #require(log.split(separator: "\n").first { $0.contains("listening on ") }, "\(log)")
    return (relay, String(try #require(line.split(separator: " ").last)))
  }
}
