import Foundation
import Testing

/// The built relay as a service: what systemd hears from it and passes to it, and what process 1 has to do.
@Suite(.enabled(if: BuiltProgram.folder != nil, "the programs stand beside the tests"), .timeLimit(.minutes(5)))
final class BuiltServiceTests {
  private let folder: URL

  init() throws {
    folder = FileManager.default.temporaryDirectory.appendingPathComponent("voltlane-service-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: false)
  }

  deinit { try? FileManager.default.removeItem(at: folder) }

  private func end(_ relay: BuiltProgram.Running) -> BuiltProgram.Outcome {
    relay.send(SIGTERM)
    return relay.finish()
  }

  private func answers(_ address: String) throws -> Bool {
    let client = try BuiltProgram.client.start([address, "--wait", "1m", "--no-reconnect"])
    client.input.fileHandleForWriting.write(Data("hello\n".utf8))
    let answer = client.output.fileHandleForReading.availableData
    client.send(SIGTERM)
    _ = client.finish()
    return answer == Data("hello\n".utf8)
  }

  // MARK: What is told

  @Test func readinessReloadsAndTheEndAreTold() throws {
    let ear = try ServiceEar(isAbstract: true)
    let settings = folder.appendingPathComponent("voltlane.toml")
    try Data("max-clients = 7\n".utf8).write(to: settings)
    let socket = folder.appendingPathComponent("socket").path
    let relay = try BuiltProgram.relay.start(
      ["--listen", "unix:\(socket)", "--backend", "echo", "--config", settings.path],
      environment: ["NOTIFY_SOCKET": ear.address])
    #expect(ear.next()?.hasSuffix("\nREADY=1") == true)
    #expect(try answers("unix:\(socket)"))
    // In due time.
    #expect(ear.next(with: "STATUS=sessions: 0 attached, 1 away; backend connected") != nil)
    try Data("max-clients = 8\n".utf8).write(to: settings)
    relay.send(SIGHUP)
    #expect(ear.next(with: "RELOADING=1") != nil)
    #expect(ear.next(with: "READY=1") != nil)
    // A mistake changes nothing, and the relay is as ready as before.
    try Data("max-clients = many\n".utf8).write(to: settings)
    relay.send(SIGHUP)
    #expect(ear.next(with: "RELOADING=1") != nil)
    #expect(ear.next(with: "READY=1") != nil)
    #expect(ear.next(with: "STATUS=")?.hasSuffix("; the last reload failed") == true)
    let outcome = end(relay)
    #expect(outcome.code == 0, "\(outcome.errors)")
    #expect(ear.next(with: "STOPPING=1") != nil)
  }

  @Test func aStartThatFailsIsTold() throws {
    let ear = try ServiceEar(isAbstract: false)
    let relay = try BuiltProgram.relay.start(
      ["--listen", "systemd:clients"], environment: ["NOTIFY_SOCKET": ear.address])
    let outcome = relay.finish()
    #expect(outcome.code == 1)
    let reason = "--listen systemd:clients: no socket of that name was passed to the relay (none was)"
    #expect(outcome.errors.contains("cannot start: \(reason)"), "\(outcome.errors)")
    #expect(ear.next()?.hasPrefix("STATUS=cannot start: \(reason)") == true)
  }

  @Test func nobodyWhoListensIsAWarning() throws {
    let relay = try BuiltProgram.relay.start(
      ["--listen", "127.0.0.1:0", "--backend", "echo"], environment: ["NOTIFY_SOCKET": "/nobody/is/there"])
    #expect(relay.log(until: "NOTIFY_SOCKET").contains("warning  the service manager cannot be told"))
    #expect(end(relay).code == 0)
  }

  // MARK: What is passed

  /// Starts the relay as systemd does: with listening sockets from descriptor 3 on.
  private func start(passing sockets: String, names: String, _ arguments: [String]) throws -> BuiltProgram.Running {
    let relay = try #require(BuiltProgram.folder).appendingPathComponent("voltlane").path
    let script = """
      import os, socket, sys
      def listener(family, address):
          made = socket.socket(family)
          made.bind(address)
          made.listen()
          return made
      sockets = [\(sockets)]
      high = [os.dup2(made.fileno(), 100 + index) for index, made in enumerate(sockets)]
      for index, descriptor in enumerate(high):
          os.dup2(descriptor, 3 + index, inheritable=True)
      os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(high)), LISTEN_FDNAMES=sys.argv[1])
      os.execv(sys.argv[2], sys.argv[2:])
      """
    return try BuiltProgram(name: "/usr/bin/python3").start(["-c", script, names, relay] + arguments)
  }

  @Test func passedSocketsAreListenedOn() throws {
    let path = folder.appendingPathComponent("passed").path
    let relay = try start(
      passing: """
        listener(socket.AF_INET, ("127.0.0.1", 0)), listener(socket.AF_UNIX, "\(path)"),
        listener(socket.AF_INET, ("127.0.0.1", 0))
        """, names: "clients:clients:other",
      ["--listen", "systemd:clients", "--listen", "127.0.0.1:0", "--backend", "echo", "--shards", "2"])
    let log = relay.log(until: "backend is ")
    let places = log.matches(of: #/listening on (\S+)/#).map { String($0.output.1) }
    #expect(places.count == 3 && places.contains("unix:\(path)"), "\(log)")
    #expect(log.contains("warning  systemd passes a socket called 'other', and no --listen names it"), "\(log)")
    for place in places { #expect(try answers(place), "\(place)") }
    #expect(end(relay).code == 0)
    // Whoever opened it may have it open still.
    #expect(FileManager.default.fileExists(atPath: path))
  }

  @Test func whatDoesNotListenIsRefused() throws {
    let relay = try start(
      passing: "socket.socket(socket.AF_INET, socket.SOCK_DGRAM)", names: "clients", ["--listen", "systemd:clients"])
    let outcome = relay.finish()
    #expect(outcome.code == 1)
    #expect(outcome.errors.contains("is no listening stream socket"), "\(outcome.errors)")
  }

  // MARK: Process 1

  /// The relay is process 1 of a container, and somebody's child has become its own.
  @Test(.enabled(if: geteuid() == 0, "a namespace of processes needs root"))
  func processOneReapsAndObeys() throws {
    let relay = try #require(BuiltProgram.folder).appendingPathComponent("voltlane").path
    let running = try BuiltProgram(name: "/usr/bin/unshare").start([
      "--pid", "--fork", "--mount-proc", "/bin/sh", "-c", "sleep 1h >/dev/null 2>&1 & exec \"$0\" \"$@\"", relay,
      "--listen", "127.0.0.1:0", "--backend", "echo",
    ])
    #expect(running.log(until: "backend is ").contains("listening on"))
    let one = try #require(Self.children(of: running.process.processIdentifier).first)
    let child = try #require(Self.children(of: one).first)
    // Nobody blocks that one, as threads of a test may do with others.
    kill(child, SIGKILL)
    // A process that has ended stays a child until it is reaped.
    while running.process.isRunning, !Self.children(of: one).isEmpty { usleep(1000) }
    #expect(Self.children(of: one).isEmpty && running.process.isRunning)
    kill(one, SIGTERM)
    let outcome = running.finish()
    #expect(outcome.code == 0 && outcome.errors.contains("SIGTERM: draining"), "\(outcome.errors)")
  }

  private static func children(of process: pid_t) -> [pid_t] {
    let list = try? String(contentsOfFile: "/proc/\(process)/task/\(process)/children", encoding: .utf8)
    return (list ?? "").split(separator: " ").compactMap { pid_t($0) }
  }
}
