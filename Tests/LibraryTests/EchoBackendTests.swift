import NIOCore
import NIOEmbedded
import Synchronization
import Testing
import VoltlaneNIO
import VoltlaneText
import VoltlaneWire

@testable import VoltlaneBackend

@Suite(.timeLimit(.minutes(10))) struct EchoBackendTests {
  let anyPort = Endpoint.tcp(host: "127.0.0.1", port: 0)

  @Test func sendsDataBackAndNothingElse() async throws {
    let echo = try await EchoBackend.listen(on: anyPort)
    let relay = try await BytePeer.connect(to: echo.address)
    try await relay.write(
      tagged(1, .reconnection) + tagged(1, .data, [1, 2, 3]) + tagged(2, .data) + tagged(1, .failure, Array("x".utf8))
        + tagged(.max, .data, pattern(100_000)))
    try await relay.finish()
    #expect(
      await relay.readToEnd()
        == tagged(1, .data, [1, 2, 3]) + tagged(2, .data) + tagged(.max, .data, pattern(100_000)))
    #expect(echo.refusedPacketCount == 0)
    await echo.stop()
  }

  @Test func skipsAndCountsWhatItCannotRead() async throws {
    let echo = try await EchoBackend.listen(on: anyPort)
    let relay = try await BytePeer.connect(to: echo.address)
    let unknownFlag = framed([1, 0, 0, 0, 0, 0, 0, 0, 8])
    try await relay.writeByteByByte(
      framed([]) + tagged(1, .data, [1]) + framed([1, 2, 3, 4, 5, 6, 7, 8]) + unknownFlag + tagged(1, .kick)
        + tagged(1, .data, [2]))
    try await relay.finish()
    #expect(await relay.readToEnd() == tagged(1, .data, [1]) + tagged(1, .data, [2]))
    #expect(echo.refusedPacketCount == 4)
    await echo.stop()
  }

  @Test func theLargestPacketAndOneMore() async throws {
    let echo = try await EchoBackend.listen(on: anyPort, maxPacketSize: 1000)
    let relay = try await BytePeer.connect(to: echo.address)
    let largest = tagged(1, .data, pattern(1000))
    try await relay.write(largest + tagged(1, .data, pattern(1001)))
    #expect(await relay.readToEnd() == largest)
    // Others are served as before.
    let next = try await BytePeer.connect(to: echo.address)
    try await next.write(tagged(2, .data, [7]))
    #expect(await next.readPacket() == Array(tagged(2, .data, [7]).dropFirst(4)))
    await echo.stop()
  }

  @Test func defaultSizeTakesTheLargestLegalPacket() async throws {
    let echo = try await EchoBackend.listen(on: anyPort)
    let relay = try await BytePeer.connect(to: echo.address)
    let largest = tagged(1, .data, pattern(Wire.defaultMaxPacketSize))
    async let writing: Void = relay.write(largest)
    #expect(await relay.read(largest.count) == largest)
    try await writing
    await echo.stop()
  }

  @Test func servesManyConnectionsEachByItself() async throws {
    let echo = try await EchoBackend.listen(on: anyPort)
    var relays: [BytePeer] = []
    for _ in 0..<5 { relays.append(try await BytePeer.connect(to: echo.address)) }
    for (number, relay) in relays.enumerated() { try await relay.write(tagged(1, .data, [UInt8(number)])) }
    for (number, relay) in relays.enumerated() {
      try await relay.finish()
      #expect(await relay.readToEnd() == tagged(1, .data, [UInt8(number)]))
    }
    await echo.stop()
  }

  @Test func aRelayThatReadsLateGetsEverything() async throws {
    let echo = try await EchoBackend.listen(on: anyPort)
    let relay = try await BytePeer.connect(to: echo.address)
    // More than the sockets hold: the echo has to stop and go on.
    let packet = tagged(1, .data, pattern(50_000))
    let count = 1000
    async let writing: Void = {
      for _ in 0..<count { try await relay.write(packet) }
    }()
    for _ in 0..<count { #expect(await relay.read(packet.count) == packet) }
    try await writing
    await echo.stop()
  }

  @Test func aRelayThatFinishesFirstGetsEverything() async throws {
    // A unix socket holds a few hundred KiB, so that most of this waits in the echo when the end comes.
    let path = "/tmp/voltlane-echo-\(UInt64.random(in: 0 ... .max)).sock"
    let echo = try await EchoBackend.listen(on: .unix(path: path))
    let relay = try await BytePeer.connect(to: echo.address)
    let packets = (0..<10).flatMap { tagged($0, .data, pattern(100_000)) }
    try await relay.write(packets)
    try await relay.finish()
    #expect(await relay.readToEnd() == packets)
    await echo.stop()
  }

  @Test func doesNotReadWhileItCannotWrite() async throws {
    let channel = NIOAsyncTestingChannel()
    let reads = ReadCounter()
    try await channel.testingEventLoop.executeInContext {
      try channel.pipeline.syncOperations.addHandlers([reads, EchoHandler(maxPacketSize: 100, refused: Counter())])
    }
    try await channel.connect(to: SocketAddress(ipAddress: "127.0.0.1", port: 1)).get()
    #expect(reads.count == 1)
    let packet = tagged(1, .data, [1])
    try await channel.writeInbound(ByteBuffer(bytes: packet))
    #expect(reads.count == 2)
    try await setWritable(false, channel)
    try await channel.writeInbound(ByteBuffer(bytes: packet))
    #expect(reads.count == 2)
    try await setWritable(true, channel)
    #expect(reads.count == 3)
    #expect(try await channel.readOutbound(as: ByteBuffer.self) == ByteBuffer(bytes: packet))
    #expect(try await channel.readOutbound(as: ByteBuffer.self) == ByteBuffer(bytes: packet))
    _ = try await channel.finish()
  }

  @Test func writesOneRunARead() async throws {
    let channel = NIOAsyncTestingChannel()
    try await channel.testingEventLoop.executeInContext {
      try channel.pipeline.syncOperations.addHandler(EchoHandler(maxPacketSize: 100, refused: Counter()))
    }
    let run = (0..<50).flatMap { tagged($0, .data, [1, 2]) }
    try await channel.writeInbound(ByteBuffer(bytes: tagged(1, .reconnection) + run + tagged(1, .data, [3]).dropLast()))
    #expect(try await channel.readOutbound(as: ByteBuffer.self) == ByteBuffer(bytes: run))
    #expect(try await channel.readOutbound(as: ByteBuffer.self) == nil)
    _ = try? await channel.finish()
  }

  @Test func stoppingClosesEverything() async throws {
    let echo = try await EchoBackend.listen(on: anyPort)
    let relay = try await BytePeer.connect(to: echo.address)
    try await relay.write(tagged(1, .data, [1]))
    #expect(await relay.readPacket()?.last == 1)
    async let stopped: Void = echo.waitUntilStopped()
    await echo.stop()
    await echo.stop()
    await stopped
    #expect(await relay.readToEnd() == [])
    await #expect(throws: (any Error).self) { try await BytePeer.connect(to: echo.address) }
  }

  private func setWritable(_ isWritable: Bool, _ channel: NIOAsyncTestingChannel) async throws {
    channel.isWritable = isWritable
    try await channel.testingEventLoop.executeInContext { channel.pipeline.fireChannelWritabilityChanged() }
  }
}
