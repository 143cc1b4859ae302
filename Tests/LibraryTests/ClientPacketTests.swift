import NIOCore
import Testing
import VoltlaneClient
import VoltlaneWire

@Suite(.timeLimit(.minutes(10))) struct ClientPacketTests {
  @Test func packetsOfAllSizesBothWays() async throws {
    let (client, peer) = try await FakeRelay.start().connect()
    let packets = [0, 1, 255, 256, 4096, 4097, 65_536, 0, Wire.defaultMaxPacketSize].map(pattern)
    async let sending: Void = {
      for packet in packets { try await client.send(packet) }
    }()
    for packet in packets { #expect(await peer.readPacket() == packet) }
    try await sending

    async let answering: Void = {
      for packet in packets { try await peer.write(framed(packet)) }
      try await peer.finish()
    }()
    let (received, error) = await collect(client.packets)
    try await answering
    #expect(received == packets)
    #expect(error == nil)
  }

  @Test func manyTasksSendWholePacketsInTheirOrder() async throws {
    let (client, peer) = try await FakeRelay.start().connect()
    try await withThrowingTaskGroup(of: Void.self) { group in
      for task in 0..<8 {
        group.addTask {
          for number in 0..<500 { try await client.send([UInt8(task), UInt8(number & 255)] + pattern(number)) }
        }
      }
      try await group.waitForAll()
    }
    var next = [Int](repeating: 0, count: 8)
    for _ in 0..<8 * 500 {
      let packet = try #require(await peer.readPacket())
      let task = Int(packet[0])
      #expect(packet == [UInt8(task), UInt8(next[task] & 255)] + pattern(next[task]))
      next[task] += 1
    }
  }

  @Test func aPacketTooLargeToSendIsNotSent() async throws {
    let (client, peer) = try await FakeRelay.start().connect(
      ClientOptions(connectTimeout: .seconds(60), maxPacketSize: 10, reconnection: nil))
    await #expect(throws: ClientError.packetTooLarge(size: 11, maximum: 10)) { try await client.send(pattern(11)) }
    try await client.send(pattern(10))
    #expect(await peer.readPacket() == pattern(10))
  }

  @Test func anOversizedPacketEndsTheConnectionAfterWhatCameBefore() async throws {
    let (client, peer) = try await FakeRelay.start().connect(
      ClientOptions(connectTimeout: .seconds(60), maxPacketSize: 10, reconnection: nil))
    try await peer.write(framed(pattern(10)) + framed(pattern(11)))
    let (packets, error) = await collect(client.packets)
    #expect(packets == [pattern(10)])
    #expect(error == .oversizedPacket(size: 11, maximum: 10))
    #expect(await peer.readToEnd() == [])
    await #expect(throws: ClientError.closed) { try await client.send([1]) }
  }

  @Test func anEndWithinAPacketIsALoss() async throws {
    let (client, peer) = try await FakeRelay.start().connect()
    try await peer.write(framed([1]) + framed([1, 2, 3]).dropLast())
    try await peer.finish()
    let (packets, error) = await collect(client.packets)
    #expect(packets == [[1]])
    #expect(error == .connectionLost(reason: "it ended within a packet"))
  }

  @Test func aResetIsALoss() async throws {
    let (client, peer) = try await FakeRelay.start().connect()
    try await peer.write(framed([1]))
    var iterator = client.packets.makeAsyncIterator()
    #expect(try await iterator.next() == ByteBuffer(bytes: [1]))
    try await peer.reset()
    await #expect(throws: ClientError.connectionLost(reason: "connection reset")) { try await iterator.next() }
    await #expect(throws: ClientError.closed) { try await client.send([1]) }
  }

  @Test func afterFinishingPacketsStillCome() async throws {
    let (client, peer) = try await FakeRelay.start().connect()
    let sent = (0..<100).map { pattern($0 * 100) }
    for packet in sent { try await client.send(packet) }
    try await client.finish()
    await #expect(throws: ClientError.closed) { try await client.send([1]) }
    #expect(await peer.readToEnd() == sent.flatMap(framed))
    try await peer.write(framed([7]))
    try await peer.finish()
    let (packets, error) = await collect(client.packets)
    #expect(packets == [[7]])
    #expect(error == nil)
  }

  @Test func afterFinishingTheRelaysResetIsTheEnd() async throws {
    let (client, peer) = try await FakeRelay.start().connect()
    try await client.finish()
    #expect(await peer.readToEnd() == [])
    try await peer.write(framed([7]))
    var iterator = client.packets.makeAsyncIterator()
    #expect(try await iterator.next() == ByteBuffer(bytes: [7]))
    try await peer.reset()
    #expect(try await iterator.next() == nil)
  }

  @Test func afterFinishingAResetWithinAPacketIsALoss() async throws {
    let (client, peer) = try await FakeRelay.start().connect()
    try await client.finish()
    try await peer.write(framed([7]) + [4, 0])
    var iterator = client.packets.makeAsyncIterator()
    #expect(try await iterator.next() == ByteBuffer(bytes: [7]))
    try await peer.reset()
    await #expect(throws: ClientError.connectionLost(reason: "it ended within a packet")) { try await iterator.next() }
  }

  @Test func closingEndsEverything() async throws {
    let (client, peer) = try await FakeRelay.start().connect()
    try await client.send([1])
    #expect(await peer.readPacket() == [1])
    async let end = collect(client.packets)
    await Task.yield()
    await client.close()
    await client.close()
    #expect(await end.error == nil)
    #expect(await peer.readToEnd() == [])
    await #expect(throws: ClientError.closed) { try await client.send([1]) }
    await #expect(throws: ClientError.closed) { try await client.finish() }
  }

  @Test func aClientThatNobodyHoldsCloses() async throws {
    let relay = try await FakeRelay.start()
    let peer = try await relay.connect().peer
    #expect(await peer.readToEnd() == [])
  }

  @Test func aPacketIteratorHoldsItsClient() async throws {
    let relay = try await FakeRelay.start()
    var pair: (client: Client, peer: BytePeer)? = try await relay.connect()
    let peer = try #require(pair).peer
    var iterator = try #require(pair).client.packets.makeAsyncIterator()
    pair = nil
    try await peer.write(framed([1]))
    #expect(try await iterator.next() == ByteBuffer(bytes: [1]))
  }
}
