import Foundation

@testable import Load

/// A relay of `peers`, run for one test between two unix sockets of its own.
final class Peer {
  let relay: Address
  let backend: Address
  private let process = Process()
  private let directory: URL

  var pid: Int32 { process.processIdentifier }

  /// Builds the programs of `peers` where that has not been done yet.
  private static let programs: Result<URL, Error> = Result {
    let peers = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "../../peers").standardized
    let make = Process()
    make.executableURL = URL(filePath: "/usr/bin/env")
    make.arguments = ["make", "-s", "-C", peers.path]
    try make.run()
    make.waitUntilExit()
    guard make.terminationStatus == 0 else { throw BenchError("make in \(peers.path) failed") }
    return peers
  }

  /// For tests that run them in another way.
  static func buildPrograms() throws { _ = try programs.get() }

  /// A relay of `peers`.
  convenience init(_ program: String, _ flags: [String] = []) throws {
    try self.init(Peer.programs.get().appending(path: program), flags)
  }

  /// Where the debug build of voltlane is, once there is one.
  private static let voltlaneProgram =
    URL(filePath: #filePath).deletingLastPathComponent().appending(path: "../../../.build/debug/voltlane").standardized

  static var hasVoltlane: Bool { FileManager.default.isExecutableFile(atPath: voltlaneProgram.path) }

  static func voltlane() throws -> Peer {
    try Peer(voltlaneProgram, ["--shards", "1", "--log-level", "error"])
  }

  private init(_ program: URL, _ flags: [String]) throws {
    directory = URL(filePath: NSTemporaryDirectory()).appending(path: "voltlane-bench-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
    relay = try Address("unix:\(directory.path)/relay")
    backend = try Address("unix:\(directory.path)/backend")
    process.executableURL = program
    process.arguments = ["--listen", relay.description, "--backend", backend.description] + flags
    process.standardError = FileHandle.nullDevice
    try process.run()
  }

  deinit {
    // Not SIGTERM: the child inherits the signal mask of one of Dispatch's threads, which blocks it.
    kill(process.processIdentifier, SIGKILL)
    process.waitUntilExit()
    try? FileManager.default.removeItem(at: directory)
  }

  /// Measures this relay, which lives at least until the measurement is over.
  func measure(_ plan: LoadPlan) throws -> LoadReport { try LoadRun.measure(plan) }

  /// Sends a small storm at this relay.
  func storm(_ mode: StormPlan.Mode) throws -> StormReport {
    var plan = StormPlan(mode: mode, relay: relay, backend: backend)
    plan.clients = 300
    plan.concurrency = 8
    plan.relayPID = pid
    return try StormRun.measure(plan)
  }

  /// A short plan for this relay.
  func plan(
    _ mode: LoadPlan.Mode = .echo, clients: Int, size: Int, window: Int, packets: UInt64 = 3000,
    backendThread: Bool = false
  ) -> LoadPlan {
    var plan = LoadPlan(mode: mode, relay: relay, backend: backend)
    plan.clients = clients
    plan.sizes = PacketSizes(size)
    plan.pace = .window(window)
    plan.length = .packets(packets)
    plan.warmup = 0
    plan.relayPID = pid
    plan.backendThread = backendThread
    plan.drainTimeout = 0.5
    return plan
  }
}
