import Foundation
import NIOCore
import Testing
import VoltlaneNIO
import VoltlaneText

@testable import VoltlaneBackend
@testable import VoltlaneClient

/// The relay as it is built, stopped for longer than its deadlines.
@Suite(.timeLimit(.minutes(10))) struct StoppedRelayTests {
  /// What came while it was stopped came in time: no client, no packet and no handshake is late for it. Afterwards
  /// deadlines hold again.
  @Test func whatCameMeanwhileIsInTime() async throws {
    let backend = try await Backend.listen(on: .tcp(host: "127.0.0.1", port: 0))
    let relay = try Program(
      "voltlane",
      [
        "--listen", "127.0.0.1:0", "--backend", "\(backend.address)", "--shards", "1", "--idle-timeout", "20s",
        "--packet-timeout", "20s", "--handshake-timeout", "20s",
      ])
    defer {
      relay.send(SIGCONT)
      relay.terminate()
    }
    let endpoint = try await endpoint(of: relay)
    var events = backend.events.makeAsyncIterator()
    // They speak to it until it is stopped, so that their silence begins there.
    let count = 300
    var peers: [BytePeer] = []
    for _ in 0..<count {
      let peer = try await BytePeer.connect(to: endpoint)
      try await peer.write(hello)
      peers.append(peer)
    }
    var ids: Set<UInt64> = []
    func hear(_ data: UInt8) async throws {
      var heard: Set<UInt64> = []
      while heard.count < count {
        switch await events.next() {
        case .data(let id, let packet) where packet == ByteBuffer(bytes: [data]): heard.insert(id)
        case .failure(_, let reason): Issue.record("a session has ended: \(reason)")
        case nil: throw BackendError.notConnected
        default: break
        }
      }
      ids = heard
    }
    for peer in peers { try await peer.write([1, 0, 0, 0, 1]) }
    try await hear(1)
    // Half of them are within a packet, and some are about to shake hands.
    var newcomers: [BytePeer] = []
    for _ in 0..<50 { newcomers.append(try await BytePeer.connect(to: endpoint)) }
    for peer in peers[..<(count / 2)] { try await peer.write([1, 0]) }
    for peer in peers[(count / 2)...] { try await peer.write([1, 0, 0, 0, 2]) }
    for _ in 0..<(count / 2) { _ = await events.next() }
    relay.send(SIGSTOP)
    for peer in peers[..<(count / 2)] { try await peer.write([0, 0, 3]) }
    for peer in peers[(count / 2)...] { try await peer.write([1, 0, 0, 0, 3]) }
    for newcomer in newcomers { try await newcomer.write(hello) }
    // The standstill itself.
    try await Task.sleep(for: .seconds(23))
    relay.send(SIGCONT)
    try await hear(3)
    for newcomer in newcomers { #expect(await newcomer.read(39).count == 39) }
    var ended: Set<UInt64> = []
    while ended.count < count, let event = await events.next() {
      guard case .failure(let id, let reason) = event, ids.contains(id) else { continue }
      #expect(reason == "idle timeout")
      ended.insert(id)
    }
    #expect(ended == ids)
    await backend.stop()
  }

  /// A new client's version and key.
  private var hello: [UInt8] {
    [2, 0, 0, 0, 1, 2] + [35, 0, 0, 0, 2, 33]
      + [
        0x02, 0x79, 0xbe, 0x66, 0x7e, 0xf9, 0xdc, 0xbb, 0xac, 0x55, 0xa0, 0x62, 0x95, 0xce, 0x87, 0x0b, 0x07, 0x02,
        0x9b, 0xfc, 0xdb, 0x2d, 0xce, 0x28, 0xd9, 0x59, 0xf2, 0x81, 0x5b, 0x16, 0xf8, 0x17, 0x98,
      ]
  }

  private func endpoint(of relay: Program) async throws -> Endpoint {
    while true {
      let line = try await relay.firstError()
      guard line.contains("listening on ") else { continue }
      return try Endpoint(String(line.split(separator: " ").last ?? ""))
    }
  }
}
