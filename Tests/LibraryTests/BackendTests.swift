import Dispatch
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

  @Test func volatileAndMulticast() async throws {
    let (backend, relay, _) = try await start()
    try await backend.send([1, 2], to: 7, .volatile)
    #expect(await relay.read(15) == tagged(7, .volatile, [1, 2]))
    let ids: [UInt64] = [7, .max, 7]
    let list = ids.flatMap { id in (0..<8).map { UInt8(truncatingIfNeeded: id >> (8 * $0)) } }
    try await backend.multicast([9, 8], to: ids)
    #expect(await relay.readPacket() == Array(repeating: 0, count: 8) + [6, 0, 3, 0, 0, 0] + list + [9, 8])
    // A large packet stands behind its list where it is; order holds.
    let large = pattern(100_000)
    try await backend.multicast(large, to: [7], .volatile)
    try await backend.kick(7)
    #expect(
      await relay.readPacket() == Array(repeating: 0, count: 8) + [6, 5, 1, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0] + large)
    #expect(await relay.read(13) == tagged(7, .kick))
    try await backend.multicast([1], to: [])
    await backend.stop()
  }

  /// More ids than one packet may name go in several.
  @Test func multicastToVeryMany() async throws {
    let (backend, relay, _) = try await start()
    let ids = (0..<UInt64(Multicast.maxIDs + 3)).map { $0 &* 0x9e37_79b9_7f4a_7c15 }
    async let sending: Void = backend.multicast([5], to: ids)
    var named: [UInt64] = []
    for count in [Multicast.maxIDs, 3] {
      let packet = try #require(await relay.readPacket())
      var buffer = ByteBuffer(bytes: packet)
      buffer.moveReaderIndex(forwardBy: Wire.tag + 1)
      #expect(buffer.readInteger(endianness: .little, as: UInt32.self) == UInt32(count))
      for _ in 0..<count { named.append(buffer.readInteger(endianness: .little) ?? 0) }
      #expect(Array(buffer: buffer) == [5])
    }
    #expect(named == ids)
    try await sending
    await backend.stop()
  }

  @Test func tryingToSendNeverWaits() async throws {
    let (backend, relay, _) = try await start(maxPacketSize: 100_000)
    #expect(backend.unsentByteCount == 0)
    let packet = ByteBuffer(bytes: pattern(100_000))
    var count = 0
    // The relay reads nothing: at some time all is full.
    while try backend.trySend(packet, to: 1) { count += 1 }
    #expect(backend.unsentByteCount >= BackendLimits.queue)
    #expect(throws: BackendError.packetTooLarge(size: 100_001, maximum: 100_000)) {
      try backend.trySend(ByteBuffer(bytes: pattern(100_001)), to: 1)
    }
    for _ in 0..<count { #expect(await relay.readPacket()?.count == 100_009) }
    while backend.unsentByteCount > 0 { await Task.yield() }
    #expect(try backend.trySend(packet, to: 1))
    await backend.stop()
    #expect(throws: BackendError.notConnected) { try backend.trySend(packet, to: 1) }
  }

  @Test func eventsByBatches() async throws {
    let (backend, relay, _) = try await start()
    var batches = backend.batches.makeAsyncIterator()
    var numbers: [UInt8] = []
    try await relay.write((1...100).flatMap { tagged(1, .data, [$0]) })
    while numbers.count < 100 {
      let batch = try #require(await batches.next())
      #expect(!batch.isEmpty && batch.age >= .zero)
      for event in batch {
        if case .data(_, let packet) = event { numbers += Array(buffer: packet) }
      }
    }
    #expect(numbers == Array(1...100))
    #expect(backend.waitingByteCount == 0 && backend.oldestEventAge == nil)
    // What is left by one is found by the other.
    try await relay.write(tagged(1, .data, [1]) + tagged(1, .data, [2]))
    var events = backend.events.makeAsyncIterator()
    #expect(await events.next() == .data(clientID: 1, ByteBuffer(bytes: [1])))
    #expect(await batches.next()?.first == .data(clientID: 1, ByteBuffer(bytes: [2])))
    await backend.stop()
    #expect(await batches.next()?.count == 1)
    #expect(await batches.next() == nil)
  }

  /// Many packets for a client that is gone are one failure.
  @Test func oneFailureAClient() async throws {
    let (backend, relay, events) = try await start()
    var iterator = events
    let answer = Array("unknown client".utf8)
    try await relay.write(
      tagged(1, .failure, Array("kicked".utf8)) + tagged(1, .failure, answer) + tagged(2, .failure, answer)
        + tagged(2, .failure, answer) + tagged(3, .data))
    #expect(await iterator.next() == .failure(clientID: 1, reason: "kicked"))
    #expect(await iterator.next() == .failure(clientID: 2, reason: "unknown client"))
    #expect(await iterator.next() == .data(clientID: 3, ByteBuffer()))
    await backend.stop()
  }

  @Test func thoseWhoLeftAreRememberedForAWhile() {
    var departed = Departed()
    for id in 0..<UInt64(BackendLimits.departed) { #expect(departed.isNews(id, reason: "kicked") == true) }
    #expect(departed.isNews(0, reason: "unknown client") == false)
    #expect(departed.isNews(.max, reason: "kicked") == true)
    // The oldest made room.
    #expect(departed.isNews(0, reason: "unknown client") == true)
    #expect(departed.isNews(0, reason: "unknown client") == false)
    #expect(departed.isNews(2, reason: "unknown client") == false)
  }

  /// The event loop is held up, as all of a process that is stopped; what came meanwhile is as old as that.
  @Test func whatCameDuringAStopIsOld() async throws {
    let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
    let backend = try await Backend.listen(
      on: .tcp(host: "127.0.0.1", port: 0), stopResolution: .milliseconds(5), group: group)
    let relay = try await BytePeer.connect(to: backend.address)
    var batches = backend.batches.makeAsyncIterator()
    try await relay.write(tagged(1, .data))
    while await batches.next()?.last != .data(clientID: 1, ByteBuffer()) {}
    let (begun, begins) = AsyncStream.makeStream(of: Void.self)
    let gate = DispatchSemaphore(value: 0)
    group.next().execute {
      begins.yield()
      gate.wait()
    }
    for await _ in begun { break }
    try await relay.write(tagged(2, .data))
    let sent = NIODeadline.now()
    // How long does not matter, as long as it is more than a few times the resolution.
    while NIODeadline.now() - sent < .milliseconds(40) { await Task.yield() }
    let old = NIODeadline.now() - sent
    gate.signal()
    let batch = try #require(await batches.next())
    #expect(batch.age >= .nanoseconds(old.nanoseconds))
    await backend.stop()
    try await group.shutdownGracefully()
  }

  @Test func arrivals() {
    var clock = ArrivalClock(resolution: .milliseconds(10), now: .uptimeNanoseconds(0))
    func at(_ milliseconds: UInt64) -> NIODeadline { .uptimeNanoseconds(milliseconds * 1_000_000) }
    clock.tick(at(10))
    #expect(clock.read(at(15), isAll: true) == at(15))
    // Stopped from 10 on, for all that is known; until a read finds nothing more.
    #expect(clock.read(at(100), isAll: false) == at(10))
    clock.tick(at(101))
    #expect(clock.read(at(102), isAll: true) == at(10))
    #expect(clock.read(at(103), isAll: true) == at(103))
    // The tick may be the first to notice.
    clock.tick(at(110))
    clock.tick(at(200))
    #expect(clock.read(at(201), isAll: true) == at(110))
    // Not read for a while.
    clock.pause(at(202))
    clock.pause(at(205))
    clock.tick(at(206))
    #expect(clock.read(at(207), isAll: true) == at(202))
    var blind = ArrivalClock(resolution: nil, now: at(0))
    #expect(blind.read(at(500), isAll: true) == at(500))
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
    let unknownFlag = framed([1, 0, 0, 0, 0, 0, 0, 0, 8])
    try await relay.write(framed([]) + framed(pattern(8)) + unknownFlag + tagged(1, .kick) + tagged(1, .data, [1]))
    #expect(await iterator.next() == .refusedPacket(.tooShort(count: 0)))
    #expect(await iterator.next() == .refusedPacket(.tooShort(count: 8)))
    #expect(await iterator.next() == .refusedPacket(.unknownFlag(8)))
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
