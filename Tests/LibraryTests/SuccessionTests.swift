import NIOCore
import Testing

@testable import VoltlaneBackend

/// One connection after the other.
@Suite(.timeLimit(.minutes(10))) struct SuccessionTests {
  @Test func theOldConnectionIsReadToItsEndFirst() async throws {
    let (backend, old, events) = try await start(finishing: .hours(1))
    var iterator = events
    let new = try await BytePeer.connect(to: backend.address)
    try await new.write(tagged(1, .data, [2]))
    // More than the queue and the sockets hold, so that reading stops and goes on meanwhile.
    let packet = pattern(40_000)
    async let writing: Void = {
      for _ in 0..<1000 { try await old.write(tagged(1, .data, packet)) }
      try await old.finish()
    }()
    for _ in 0..<1000 { #expect(await iterator.next() == .data(clientID: 1, ByteBuffer(bytes: packet))) }
    try await writing
    #expect(await ending(&iterator) == .closed)
    #expect(await connected(&iterator) == 2)
    #expect(await iterator.next() == .data(clientID: 1, ByteBuffer(bytes: [2])))
    // What is sent goes to the one that named the id last.
    try await backend.send([3], to: 1)
    #expect(await new.read(14) == tagged(1, .data, [3]))
    await backend.stop()
  }

  @Test func anOldConnectionThatDoesNotEndIsDiscarded() async throws {
    let (backend, old, events) = try await start(finishing: .milliseconds(10))
    var iterator = events
    try await old.write(tagged(1, .data, [1]))
    #expect(await iterator.next() == .data(clientID: 1, ByteBuffer(bytes: [1])))
    let new = try await BytePeer.connect(to: backend.address)
    try await new.write(tagged(1, .reconnection))
    // It was open still, which somebody should know.
    guard case .warning(.replaced(let firehose, by: _)) = await iterator.next() else { throw BackendError.notConnected }
    #expect(firehose.number == 1)
    #expect(await ending(&iterator) == .replaced)
    #expect(await connected(&iterator) == 2)
    #expect(await iterator.next() == .reconnection(clientID: 1))
    #expect(await old.readToEnd() == [])
    await backend.stop()
  }

  /// A browser, half a packet and a packet of nobody's take nothing over, however long it waits.
  @Test func whatIsNoRelayTakesNothingOver() async throws {
    let (backend, relay, events) = try await start(finishing: .milliseconds(1))
    var iterator = events
    try await relay.write(tagged(1, .data, [1]))
    #expect(await iterator.next() == .data(clientID: 1, ByteBuffer(bytes: [1])))
    for (bytes, reason) in [
      (Array("GET / HTTP/1.1\r\n\r\n".utf8), "542393671 bytes"), (framed(pattern(8)), "shorter than its tag"),
      (framed([1, 0, 0, 0, 0, 0, 0, 0, 9]), "unknown flag 9"), (tagged(1, .kick), "not for this direction"),
    ] {
      let stray = try await BytePeer.connect(to: backend.address)
      try await stray.write(bytes)
      guard case .warning(.strayConnection(_, let told)) = await iterator.next() else {
        throw BackendError.notConnected
      }
      #expect(told.contains(reason), "\(told)")
      #expect(await stray.readToEnd() == [])
    }
    let slow = try await BytePeer.connect(to: backend.address)
    try await slow.write(tagged(1, .data, pattern(1000)).dropLast())
    // Longer than the current one would have had; it goes on all the same.
    try await backend.send([2], to: 1)
    #expect(await relay.read(14) == tagged(1, .data, [2]))
    try await relay.write(tagged(1, .data, [3]))
    #expect(await iterator.next() == .data(clientID: 1, ByteBuffer(bytes: [3])))
    // With the last byte it is a relay, and the old connection is given up.
    try await slow.write(tagged(1, .data, pattern(1000)).suffix(1))
    guard case .warning(.replaced) = await iterator.next() else { throw BackendError.notConnected }
    #expect(await ending(&iterator) == .replaced)
    #expect(await connected(&iterator) == 2)
    #expect(await iterator.next() == .data(clientID: 1, ByteBuffer(bytes: pattern(1000))))
    await backend.stop()
  }

  @Test func aStrangerThatCameFirstMakesRoom() async throws {
    let (backend, stranger, events) = try await start(finishing: .milliseconds(10))
    var iterator = events
    let relay = try await BytePeer.connect(to: backend.address)
    try await relay.write(tagged(1, .data, [1]))
    guard case .warning(.replaced) = await iterator.next() else { throw BackendError.notConnected }
    #expect(await ending(&iterator) == .replaced)
    #expect(await connected(&iterator) == 2)
    #expect(await iterator.next() == .data(clientID: 1, ByteBuffer(bytes: [1])))
    #expect(await stranger.readToEnd() == [])
    await backend.stop()
  }

  @Test func aSecondRelayIsTold() async throws {
    // Long enough for the first one to be heard meanwhile, however busy the machine is.
    let (backend, first, events) = try await start(finishing: .seconds(2))
    var iterator = events
    let second = try await BytePeer.connect(to: backend.address)
    let speaking = Task { while !Task.isCancelled { try await first.write(tagged(1, .data, [1])) } }
    while await iterator.next() != .data(clientID: 1, ByteBuffer(bytes: [1])) {}
    try await second.write(tagged(2, .data, [2]))
    var told: BackendEvent?
    while told == nil {
      let event = await iterator.next()
      if case .warning = event { told = event }
    }
    guard case .warning(.secondRelay) = told else {
      Issue.record("\(String(describing: told))")
      return
    }
    speaking.cancel()
    await backend.stop()
  }

  @Test func aSilentConnectionTakesNothingOver() async throws {
    let (backend, relay, events) = try await start()
    var iterator = events
    let scanner = try await BytePeer.connect(to: backend.address)
    let gone = try await BytePeer.connect(to: backend.address)
    await gone.close()
    try await relay.write(tagged(1, .data, [1]))
    #expect(await iterator.next() == .data(clientID: 1, ByteBuffer(bytes: [1])))
    try await backend.send([2], to: 1)
    #expect(await relay.read(14) == tagged(1, .data, [2]))
    // It is there when it is needed.
    try await relay.finish()
    #expect(await ending(&iterator) == .closed)
    #expect(await connected(&iterator) == 2)
    try await backend.send([3], to: 1)
    #expect(await scanner.read(14) == tagged(1, .data, [3]))
    await backend.stop()
  }

  @Test func whatAClosedConnectionHadSaidIsStillRead() async throws {
    let (backend, old, events) = try await start(finishing: .hours(1))
    var iterator = events
    for number in UInt8(2)...4 {
      let next = try await BytePeer.connect(to: backend.address)
      try await next.write(tagged(1, .data, [number]))
      try await next.finish()
      #expect(await next.readToEnd() == [])
    }
    try await old.write(tagged(1, .data, [1]))
    try await old.finish()
    #expect(await iterator.next() == .data(clientID: 1, ByteBuffer(bytes: [1])))
    #expect(await ending(&iterator) == .closed)
    for number in 2...4 {
      #expect(await connected(&iterator) == number)
      #expect(await iterator.next() == .data(clientID: 1, ByteBuffer(bytes: [UInt8(number)])))
      #expect(await ending(&iterator) == .closed)
    }
    await backend.stop()
  }

  @Test func tooManyThatWaitPushTheOldestOut() async throws {
    let (backend, relay, events) = try await start()
    var iterator = events
    var waiting: [BytePeer] = []
    for _ in 0..<17 { waiting.append(try await BytePeer.connect(to: backend.address)) }
    #expect(await waiting[0].readToEnd() == [])
    try await relay.write(tagged(1, .data, [1]))
    #expect(await iterator.next() == .data(clientID: 1, ByteBuffer(bytes: [1])))
    await backend.stop()
  }
}
