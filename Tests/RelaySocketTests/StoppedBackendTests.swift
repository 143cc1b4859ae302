import Glibc
import Relay
import Testing

/// A backend that has stopped: its kernel goes on acknowledging, and then keeps its window closed.
@Suite struct StoppedBackendTests {
  private static func backend(isUnix: Bool) throws -> RawBackend {
    guard isUnix else { return try RawBackend() }
    let path = "/tmp/voltlane-stopped-\(getpid()).sock"
    unlink(path)
    return try RawBackend(.unix(path: path))
  }

  @Test(arguments: [false, true])
  func `what it leaves untaken is measured and told of`(_ isUnix: Bool) throws {
    let backend = try Self.backend(isUnix: isUnix)
    let test = try TestRelay(backend: backend.endpoint)
    let rig = Rig(backend: backend, test: test, firehose: try backend.accept())
    let client = try test.client()
    #expect(try rig.roundTrip(client))
    #expect(test.relay[.backendBehindMilliseconds] == 0)
    // More than sockets and lane hold.
    let packets = (0..<60).map { pattern(200_000, $0) }
    let sender = Background { for packet in packets { try client.send(packet) } }
    var told: [Event] = []
    func isTold(_ matches: (Event) -> Bool) -> Bool {
      test.relay.takeEvents { told.append($0) }
      return told.contains(where: matches)
    }
    #expect(test.eventually { isTold { if case .backendBehind = $0 { true } else { false } } }, "\(told)")
    #expect(test.relay[.backendBehindMilliseconds] >= 5000)
    // It goes on, and all is well.
    for packet in packets { #expect(try rig.firehose.receive() == .data(client.id, packet)) }
    try sender.join()
    #expect(test.eventually { isTold { if case .backendCaughtUp = $0 { true } else { false } } }, "\(told)")
    #expect(test.eventually(.backendBehindMilliseconds, is: 0))
    #expect(test.relay[.sessionsEnded] == 0 && test.relay[.backendConnections] == 1)
  }
}
