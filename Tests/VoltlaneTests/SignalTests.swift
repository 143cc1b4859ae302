import Foundation
import Testing

/// What the relay does about every signal that there is, also while it starts.
@Suite(.enabled(if: BuiltProgram.folder != nil, "the programs stand beside the tests"), .timeLimit(.minutes(5)))
struct SignalTests {
  /// What ends the relay, and how. Of all others it takes no notice, or does what it is asked for.
  private static let ends: [Int32: Int32] = [
    SIGTERM: 0, SIGINT: 0, SIGUSR2: 0, SIGQUIT: 128 + SIGQUIT, SIGKILL: -SIGKILL,
    SIGILL: -SIGILL, SIGTRAP: -SIGTRAP, SIGABRT: -SIGABRT, SIGBUS: -SIGBUS, SIGFPE: -SIGFPE, SIGSEGV: -SIGSEGV,
    SIGSYS: -SIGSYS,
  ]

  /// With those of real time, and the two that glibc keeps to itself.
  private static let all: [Int32] = Array(1...64)

  @Test func harmlessOnesEndNothing() throws {
    let relay = try UnheardRelay(errors: FileHandle.nullDevice)
    #expect(relay.serves())
    for signal in Self.all where Self.ends[signal] == nil {
      relay.send(signal)
      if signal == SIGSTOP || signal == SIGTSTP { relay.send(SIGCONT) }
      relay.takesSignals()
      #expect(relay.process.isRunning, "signal \(signal)")
    }
    #expect(relay.serves())
    relay.send(SIGTERM)
    #expect(relay.end() == 0)
  }

  @Test(arguments: Self.ends.sorted { $0.key < $1.key }.map { ($0.key, $0.value) })
  func othersEndIt(signal: Int32, code: Int32) throws {
    let relay = try UnheardRelay(errors: FileHandle.nullDevice)
    #expect(relay.serves())
    relay.send(signal)
    #expect(relay.end() == code)
  }

  /// Whoever starts it may have blocked or ignored signals.
  @Test func theStarterDecidesNothing() throws {
    let relay = try UnheardRelay(errors: FileHandle.nullDevice, shell: "trap '' TERM HUP USR1 SEGV;")
    #expect(relay.serves())
    relay.send(SIGHUP)
    relay.takesSignals()
    #expect(relay.serves())
    relay.send(SIGTERM)
    #expect(relay.end() == 0)
  }

  /// A list that is still being written keeps the relay in its start.
  @Test func whatIsAskedDuringTheStartIsAnsweredAfterIt() throws {
    let errors = Pipe()
    let list = try Fifo()
    let relay = try UnheardRelay(["--backend", "echo", "--deny", "@\(list.path)"], errors: errors)
    let writer = try #require(list.waitForReader(of: relay))
    relay.send(SIGHUP)
    relay.send(SIGUSR1)
    list.serve(writer, relay)
    var log = ""
    while !log.contains("SIGUSR1: ") || !log.contains("SIGHUP: ") {
      let more = errors.fileHandleForReading.availableData
      if more.isEmpty { break }
      log += String(decoding: more, as: UTF8.self)
    }
    #expect(log.contains("SIGUSR1: totals since the start"), "\(log)")
    #expect(log.contains("SIGHUP: "), "\(log)")
    relay.send(SIGTERM)
    #expect(relay.end() == 0)
  }

  /// Whoever asks for a drain means a relay that runs.
  @Test func drainDuringTheStartFollowsIt() throws {
    let errors = Pipe()
    let list = try Fifo()
    let relay = try UnheardRelay(["--backend", "echo", "--deny", "@\(list.path)"], errors: errors)
    let writer = try #require(list.waitForReader(of: relay))
    relay.send(SIGUSR2)
    list.serve(writer, relay)
    let log = String(decoding: errors.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
    #expect(log.contains("SIGUSR2: draining over 30s"), "\(log)")
    #expect(relay.end() == 0)
  }

  /// It has promised nobody anything yet.
  @Test(arguments: [SIGTERM, SIGINT, SIGQUIT]) func endDuringTheStartIsByTheSignal(signal: Int32) throws {
    let list = try Fifo()
    let relay = try UnheardRelay(["--backend", "echo", "--deny", "@\(list.path)"], errors: FileHandle.nullDevice)
    let writer = try #require(list.waitForReader(of: relay))
    relay.send(signal)
    #expect(relay.end() == -signal)
    try writer.close()
  }

  /// A name server that never answers: in a network of its own, which needs root.
  @Test(.enabled(if: NetworkWithoutNames.isPossible, "network namespaces need root and ip"))
  func nameThatIsLookedUpDelaysNoEnd() throws {
    let network = try NetworkWithoutNames()
    let program = BuiltProgram.folder!.appendingPathComponent("voltlane").path
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/bin/sh")
    process.arguments = [
      "-c", "exec ip netns exec \(network.name) '\(program)' --listen relay.example:42000 --backend echo",
    ]
    process.standardError = FileHandle.nullDevice
    try process.run()
    while process.isRunning, !network.isAsked(by: process) { usleep(1000) }
    kill(process.processIdentifier, SIGTERM)
    process.waitUntilExit()
    #expect(process.terminationReason == .uncaughtSignal)
    #expect(process.terminationStatus == SIGTERM)
  }
}

/// A named pipe in a folder of its own.
private final class Fifo: Sendable {
  let path = NSTemporaryDirectory() + "voltlane-\(UUID().uuidString.prefix(8)).fifo"

  init() throws { try #require(mkfifo(path, 0o600) == 0) }

  deinit { unlink(path) }

  /// Waits until `relay` has opened it.
  func waitForReader(of relay: UnheardRelay) -> FileHandle? {
    while relay.process.isRunning {
      let descriptor = open(path, O_WRONLY | O_NONBLOCK)
      if descriptor >= 0 { return FileHandle(fileDescriptor: descriptor, closeOnDealloc: true) }
      usleep(1000)
    }
    return nil
  }

  /// Gives one network to this reader, and to each that follows.
  func serve(_ first: FileHandle, _ relay: UnheardRelay) {
    Thread.detachNewThread { [self] in
      var writer: FileHandle? = first
      while let open = writer {
        try? open.write(contentsOf: Data("192.0.2.1\n".utf8))
        try? open.close()
        // The next reader is another one once this one is gone.
        usleep(100_000)
        writer = waitForReader(of: relay)
      }
    }
  }
}

/// A network namespace in which a name server is configured and does not answer.
private final class NetworkWithoutNames {
  let name = "voltlane-\(UUID().uuidString.prefix(8))"
  private static let server = "192.0.2.53"

  static var isPossible: Bool {
    geteuid() == 0 && run("ip netns add voltlane-probe && ip netns del voltlane-probe")
  }

  init() throws {
    let made = Self.run(
      """
      ip netns add \(name) && mkdir -p /etc/netns/\(name) &&
      echo 'nameserver \(Self.server)' > /etc/netns/\(name)/resolv.conf &&
      ip -n \(name) link add here type veth peer name nowhere && ip -n \(name) addr add 192.0.2.1/24 dev here &&
      ip -n \(name) link set here up && ip -n \(name) link set nowhere up &&
      ip -n \(name) neigh add \(Self.server) lladdr 02:00:00:00:00:01 dev here
      """)
    try #require(made)
  }

  deinit { _ = Self.run("ip netns del \(name); rm -rf /etc/netns/\(name)") }

  /// Whether a question was sent to the server: the address and port as the kernel writes them.
  func isAsked(by process: Process) -> Bool {
    let sockets = try? String(contentsOfFile: "/proc/\(process.processIdentifier)/net/udp", encoding: .utf8)
    return sockets?.contains("350200C0:0035") ?? false
  }

  @discardableResult
  private static func run(_ script: String) -> Bool {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/bin/sh")
    process.arguments = ["-c", script]
    process.standardError = FileHandle.nullDevice
    do { try process.run() } catch { return false }
    process.waitUntilExit()
    return process.terminationStatus == 0
  }
}
