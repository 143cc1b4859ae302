import Foundation

@testable import EchoLoad

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

  init(_ program: String, _ flags: [String] = []) throws {
    directory = URL(filePath: NSTemporaryDirectory()).appending(path: "voltlane-bench-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
    relay = try Address("unix:\(directory.path)/relay")
    backend = try Address("unix:\(directory.path)/backend")
    process.executableURL = try Peer.programs.get().appending(path: program)
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
  func measure(_ plan: EchoPlan) throws -> EchoReport { try EchoRun.measure(plan) }

  /// A short plan for this relay.
  func plan(
    clients: Int, size: Int, window: Int, roundTrips: UInt64 = 3000, backendThread: Bool = false
  ) -> EchoPlan {
    EchoPlan(
      relay: relay, backend: backend, clients: clients, size: size, window: window, length: .roundTrips(roundTrips),
      warmup: 0, relayPID: pid, congestionControl: nil, connectConcurrency: 64, backendThread: backendThread,
      startTimeout: 15, drainTimeout: 0.5)
  }
}
