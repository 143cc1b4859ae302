import NIOCore
import Testing
import VoltlaneWire

@testable import VoltlaneBackend

/// The relay dials again, and says whom it has.
@Suite(.timeLimit(.minutes(10))) struct AnnouncementTests {
  @Test func endsBeforeTheFirstPacketThatIsNoReconnection() async throws {
    let backend = try await Backend.listen(on: .tcp(host: "127.0.0.1", port: 0))
    var events = backend.events.makeAsyncIterator()
    let first = try await BytePeer.connect(to: backend.address)
    // Each kind of packet ends it, the one that is skipped too; a relay's first connection announces nobody.
    try await first.write(tagged(1, .data, [1]) + tagged(2, .reconnection) + tagged(1, .data, [2]))
    guard case .connected(let firehose) = await events.next() else { throw BackendError.notConnected }
    #expect(await events.next() == .announced(firehose))
    #expect(await events.next() == .data(clientID: 1, ByteBuffer(bytes: [1])))
    #expect(await events.next() == .reconnection(clientID: 2))
    // Once only.
    #expect(await events.next() == .data(clientID: 1, ByteBuffer(bytes: [2])))
    try await first.reset()
    #expect(await events.next() == .disconnected(firehose, .lost("connection reset")))
    await #expect(throws: BackendError.notConnected) { try await backend.send([1], to: 1) }
    await #expect(throws: BackendError.notConnected) { try await backend.kick(1) }

    let enders: [(packet: [UInt8], event: BackendEvent)] = [
      (tagged(5, .failure, Array("kicked".utf8)), .failure(clientID: 5, reason: "kicked")),
      (tagged(5, .data), .data(clientID: 5, ByteBuffer())),
      (framed([]), .refusedPacket(.tooShort(count: 0))),
    ]
    for (packet, event) in enders {
      let next = try await BytePeer.connect(to: backend.address)
      try await next.writeByteByByte(tagged(3, .reconnection) + tagged(4, .reconnection) + tagged(3, .reconnection))
      guard case .connected(let firehose) = await events.next() else { throw BackendError.notConnected }
      for id: UInt64 in [3, 4, 3] { #expect(await events.next() == .reconnection(clientID: id)) }
      try await next.write(packet)
      #expect(await events.next() == .announced(firehose))
      #expect(await events.next() == event)
      try await backend.send([9], to: 3)
      #expect(await next.read(14) == tagged(3, .data, [9]))
      try await next.finish()
      #expect(await events.next() == .disconnected(firehose, .closed))
    }
    await backend.stop()
  }

  /// Addresses and absences of those who are named belong to it; those of others end it.
  @Test func whoIsAwayAndFromWhere() async throws {
    let (backend, relay, _) = try await start()
    var events = backend.events.makeAsyncIterator()
    let v4 = tagged(1, .address, [4, 192, 0, 2, 7, 0x50, 0xc3])
    let v6 = tagged(2, .address, [6, 0x20, 1, 0x0d, 0xb8] + Array(repeating: 0, count: 11) + [7, 0x50, 0xc3])
    try await relay.write(
      tagged(1, .reconnection) + v4 + tagged(1, .away) + tagged(2, .reconnection) + v6 + tagged(3, .address, [0, 0, 0])
        + tagged(3, .data) + tagged(3, .away) + tagged(3, .address, [4, 1]))
    #expect(await events.next() == .reconnection(clientID: 1))
    #expect(await events.next() == .address(clientID: 1, .tcp(host: "192.0.2.7", port: 50_000)))
    #expect(await events.next() == .away(clientID: 1))
    #expect(await events.next() == .reconnection(clientID: 2))
    #expect(await events.next() == .address(clientID: 2, .tcp(host: "2001:db8::7", port: 50_000)))
    guard case .announced = await events.next() else { throw BackendError.notConnected }
    #expect(await events.next() == .address(clientID: 3, nil))
    #expect(await events.next() == .data(clientID: 3, ByteBuffer()))
    #expect(await events.next() == .away(clientID: 3))
    #expect(await events.next() == .refusedPacket(.unknownFlag(7)))
    await backend.stop()
  }

  /// A connection that ends within its announcement ended it not: the next one announces anew.
  @Test func aLossWithinIt() async throws {
    let backend = try await Backend.listen(on: .tcp(host: "127.0.0.1", port: 0))
    var events = backend.events.makeAsyncIterator()
    for number in 1...2 {
      let relay = try await BytePeer.connect(to: backend.address)
      try await relay.write(tagged(1, .reconnection) + tagged(2, .reconnection).dropLast())
      try await relay.finish()
      guard case .connected(let firehose) = await events.next() else { throw BackendError.notConnected }
      #expect(firehose.number == number)
      #expect(await events.next() == .reconnection(clientID: 1))
      #expect(await events.next() == .disconnected(firehose, .closed))
    }
    await backend.stop()
  }
}
