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
    #expect(await ending(&iterator) == .replaced)
    #expect(await connected(&iterator) == 2)
    #expect(await iterator.next() == .reconnection(clientID: 1))
    #expect(await old.readToEnd() == [])
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
