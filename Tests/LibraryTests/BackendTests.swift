import NIOCore
import NIOPosix
import Testing
import VoltlaneWire

@testable import VoltlaneBackend

@Suite(.timeLimit(.minutes(10))) struct BackendTests {
  @Test func tellsWhatTheRelaySays() async throws {
    let (backend, relay, events) = try await start()
    var iterator = events
    try await relay.write(
      tagged(7, .reconnection) + tagged(7, .data, [1, 2]) + tagged(.max, .data)
        + tagged(7, .failure, Array("kicked".utf8)))
    #expect(await iterator.next() == .reconnection(clientID: 7))
    #expect(await iterator.next() == .data(clientID: 7, ByteBuffer(bytes: [1, 2])))
    #expect(await iterator.next() == .data(clientID: .max, ByteBuffer()))
    #expect(await iterator.next() == .failure(clientID: 7, reason: "kicked"))
    await backend.stop()
  }

  @Test func sendsAndKicks() async throws {
    let (backend, relay, _) = try await start()
    let packets = [0, 1, 4096, 4097, 0, Wire.defaultMaxPacketSize].map(pattern)
    async let sending: Void = {
      for (id, packet) in packets.enumerated() { try await backend.send(packet, to: UInt64(id) << 40) }
      try await backend.kick(5 << 40)
    }()
    for (id, packet) in packets.enumerated() {
      let expected = tagged(UInt64(id) << 40, .data, packet)
      #expect(await relay.read(expected.count) == expected)
    }
    #expect(await relay.read(13) == tagged(5 << 40, .kick))
    try await sending
    await backend.stop()
  }

  @Test func readsOneByteAtATime() async throws {
    let (backend, relay, events) = try await start()
    var iterator = events
    try await relay.writeByteByByte(
      tagged(1, .data, [9]) + tagged(2, .data) + tagged(3, .failure) + tagged(4, .data, [8]))
    #expect(await iterator.next() == .data(clientID: 1, ByteBuffer(bytes: [9])))
    #expect(await iterator.next() == .data(clientID: 2, ByteBuffer()))
    #expect(await iterator.next() == .failure(clientID: 3, reason: ""))
    #expect(await iterator.next() == .data(clientID: 4, ByteBuffer(bytes: [8])))
    await backend.stop()
  }

  @Test func skipsCountsAndReportsWhatItCannotRead() async throws {
    let (backend, relay, events) = try await start()
    var iterator = events
    let unknownFlag = framed([1, 0, 0, 0, 0, 0, 0, 0, 4])
    try await relay.write(framed([]) + framed(pattern(8)) + unknownFlag + tagged(1, .kick) + tagged(1, .data, [1]))
    #expect(await iterator.next() == .refusedPacket(.tooShort(count: 0)))
    #expect(await iterator.next() == .refusedPacket(.tooShort(count: 8)))
    #expect(await iterator.next() == .refusedPacket(.unknownFlag(4)))
    #expect(await iterator.next() == .refusedPacket(.wrongDirection(.kick)))
    #expect(await iterator.next() == .data(clientID: 1, ByteBuffer(bytes: [1])))
    #expect(backend.refusedPacketCount == 4)
    await backend.stop()
  }

  @Test func anOversizedPacketDropsTheConnectionAfterWhatCameBefore() async throws {
    let (backend, relay, events) = try await start(maxPacketSize: 100)
    var iterator = events
    try await relay.write(tagged(1, .data, pattern(100)) + tagged(1, .data, pattern(101)))
    #expect(await iterator.next() == .data(clientID: 1, ByteBuffer(bytes: pattern(100))))
    #expect(await ending(&iterator) == .oversizedPacket(size: 110, maximum: 109))
    #expect(await relay.readToEnd() == [])
    await backend.stop()
  }

  @Test func refusesToSendWhatIsTooLarge() async throws {
    let (backend, relay, _) = try await start(maxPacketSize: 100)
    await #expect(throws: BackendError.packetTooLarge(size: 101, maximum: 100)) {
      try await backend.send(pattern(101), to: 1)
    }
    try await backend.send(pattern(100), to: 1)
    #expect(await relay.readPacket()?.count == 109)
    await backend.stop()
  }

  @Test func tellsHowTheConnectionEnded() async throws {
    let (backend, relay, events) = try await start()
    var iterator = events
    // An unfinished packet is dropped.
    try await relay.write(tagged(1, .data, [1]) + tagged(1, .data, [2]).dropLast())
    try await relay.finish()
    #expect(await iterator.next() == .data(clientID: 1, ByteBuffer(bytes: [1])))
    #expect(await ending(&iterator) == .closed)
    await #expect(throws: BackendError.notConnected) { try await backend.send([1], to: 1) }

    let next = try await BytePeer.connect(to: backend.address)
    #expect(await connected(&iterator) == 2)
    try await next.reset()
    #expect(await ending(&iterator) == .lost("connection reset"))
    await backend.stop()
    #expect(await iterator.next() == nil)
  }

  @Test func stoppingEndsTheEvents() async throws {
    let (backend, relay, events) = try await start()
    var iterator = events
    await backend.stop()
    await backend.stop()
    #expect(await ending(&iterator) == .stopped)
    #expect(await iterator.next() == nil)
    #expect(await relay.readToEnd() == [])
    await #expect(throws: BackendError.notConnected) { try await backend.kick(1) }
  }

  @Test func aConsumerThatAnswersEachEventCannotDeadlock() async throws {
    let (backend, relay, events) = try await start()
    // Far more than the queues and the sockets hold, both ways.
    let packet = pattern(40_000)
    let count = 2000
    let answering = Task {
      var iterator = events
      for _ in 0..<count {
        guard case .data(let id, let data) = await iterator.next() else { return }
        try await backend.send(data, to: id)
      }
    }
    // As a relay does, it reads whether or not it can write.
    let framed = tagged(3, .data, packet)
    async let writing: Void = {
      for _ in 0..<count { try await relay.write(framed) }
    }()
    for _ in 0..<count { #expect(await relay.read(framed.count) == framed) }
    try await writing
    try await answering.value
    await backend.stop()
  }
}

/// A backend, its relay, and its events after the relay has connected.
func start(
  maxPacketSize: Int = Wire.defaultMaxPacketSize, finishing: TimeAmount = BackendLimits.finishing
) async throws -> (backend: Backend, relay: BytePeer, events: Events) {
  let backend = try await Backend.listen(
    on: .tcp(host: "127.0.0.1", port: 0), maxPacketSize: maxPacketSize, group: MultiThreadedEventLoopGroup.singleton,
    finishing: finishing)
  let relay = try await BytePeer.connect(to: backend.address)
  var iterator = Events(backend)
  #expect(await connected(&iterator) == 1)
  return (backend, relay, iterator)
}

/// The number of the connection where the next event is one.
func connected(_ iterator: inout Events) async -> Int? {
  guard case .connected(let firehose) = await iterator.next() else { return nil }
  return firehose.number
}

/// How the connection ended where the next event says so.
func ending(_ iterator: inout Events) async -> FirehoseEnding? {
  guard case .disconnected(_, let ending) = await iterator.next() else { return nil }
  return ending
}

/// The events of a backend, without those that end the announcements.
struct Events {
  private var iterator: BackendEvents.Iterator

  init(_ backend: Backend) {
    iterator = backend.events.makeAsyncIterator()
  }

  mutating func next() async -> BackendEvent? {
    let event = await iterator.next()
    if case .announced = event { return await iterator.next() }
    return event
  }
}
