import Logging
import Metrics
import MetricsTestKit
import ServiceLifecycle
import Synchronization
import VoltlaneBackend
import VoltlaneClient

/// A backend and a client as services of a group, behind a relay: `Hooks BACKEND-ADDRESS RELAY-ADDRESS`. The relay is
/// started before. What the client sends comes back; then the group shuts down, and what was logged and counted is
/// checked.
@main struct Hooks {
  struct Wrong: Error, CustomStringConvertible {
    var description: String
  }

  static func main() async throws {
    let lines = Lines()
    let logger = Logger(label: "hooks") { _ in lines }
    let metrics = TestMetrics()
    let backend = try await Backend.listen(on: Endpoint(CommandLine.arguments[1]))
    backend.log(to: logger)
    backend.report(to: metrics)
    let echo = Task {
      for await event in backend.events {
        if case .data(let id, let packet) = event { try? await backend.send(packet, to: id) }
      }
    }
    let client = try await connected(to: Endpoint(CommandLine.arguments[2]))
    client.log(to: logger)
    client.report(to: metrics)
    let group = ServiceGroup(
      configuration: .init(
        services: [
          .init(service: backend, successTerminationBehavior: .gracefullyShutdownGroup),
          .init(service: client, successTerminationBehavior: .gracefullyShutdownGroup),
        ], logger: logger))
    let running = Task { try await group.run() }
    try await client.send(Array("hello".utf8))
    var packets = client.packets.makeAsyncIterator()
    guard try await packets.next()?.readableBytes == 5 else { throw Wrong(description: "no echo") }
    await group.triggerGracefulShutdown()
    try await running.value
    await echo.value
    try check(client.state == .over(.closed), "the client is \(client.state)")
    try check(try metrics.expectCounter("voltlane_backend_packets").totalValue == 1, "packets")
    try check(try metrics.expectCounter("voltlane_backend_packet_bytes").totalValue == 5, "bytes")
    try check(try metrics.expectCounter("voltlane_backend_connections").totalValue >= 1, "connections")
    for line in ["relay connected", "relay disconnected"] {
      try check(lines.all.contains(line), "\(line) is not in \(lines.all)")
    }
    print("hooks: passed")
  }

  /// The relay may be busy with its backend, or not have been told of it yet.
  private static func connected(to relay: Endpoint) async throws -> Client {
    while true {
      do {
        return try await Client.connect(to: relay)
      } catch ClientError.unreachable, ClientError.closedDuringHandshake {
        try await Task.sleep(for: .milliseconds(50))
      }
    }
  }

  private static func check(_ holds: Bool, _ what: String) throws {
    if !holds { throw Wrong(description: what) }
  }
}

/// Keeps what is logged.
final class Lines: LogHandler, Sendable {
  private let messages = Mutex<[String]>([])
  var all: [String] { messages.withLock { $0 } }
  var metadata: Logger.Metadata {
    get { [:] }
    set {}
  }
  var logLevel: Logger.Level {
    get { .trace }
    set {}
  }
  subscript(metadataKey _: String) -> Logger.Metadata.Value? {
    get { nil }
    set {}
  }

  func log(event: LogEvent) {
    messages.withLock { $0.append("\(event.message)") }
  }
}
