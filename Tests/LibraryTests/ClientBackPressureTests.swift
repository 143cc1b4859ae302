import NIOCore
import NIOEmbedded
import Synchronization
import Testing
import VoltlaneCrypto
import VoltlaneNIO
import VoltlaneWire

@testable import VoltlaneClient

@Suite(.timeLimit(.minutes(10))) struct ClientBackPressureTests {
  @Test func aSlowConsumerHoldsTheRelayUp() async throws {
    let options = ClientOptions(connectTimeout: .seconds(60), receiveLimit: 100_000, reconnection: nil)
    let (client, peer) = try await FakeRelay.start().connect(options)
    let packets = (0..<2000).map { pattern($0 * 17) }
    async let sending: Void = {
      for packet in packets { try await peer.write(framed(packet)) }
    }()
    let inbox = client.packets.inbox
    var iterator = client.packets.makeAsyncIterator()
    for packet in packets {
      // The limit, and one read: its bytes, and 64 for each of its packets, which have 4 bytes at least.
      #expect(inbox.bytes <= 100_000 + Limits.largestRead + 34_000)
      #expect(try await iterator.next() == ByteBuffer(bytes: packet))
    }
    try await sending
  }

  /// No sockets: each read that the handler asks for is counted.
  @Test func readingStopsAtTheLimitAndGoesOn() async throws {
    let relay = try await TestChannel(receiveLimit: 1000)
    #expect(relay.reads.count == 1)
    try await relay.send(relay.greeting)
    #expect(relay.reads.count == 2)
    let inbox = relay.inbox
    _ = try await relay.opened.get()

    // Packets of no bytes count as well: 15 of them are 960, one more is over the limit.
    try await relay.send([UInt8](repeating: 0, count: 15 * 4))
    #expect(relay.reads.count == 3)
    try await relay.send([0, 0, 0, 0])
    #expect(relay.reads.count == 3)

    // 16 * 64 are 1024, and half the limit is 500.
    for _ in 0..<8 { _ = try await inbox.next() }
    await relay.channel.testingEventLoop.run()
    #expect(relay.reads.count == 3)
    _ = try await inbox.next()
    await relay.channel.testingEventLoop.run()
    #expect(relay.reads.count == 4)
    _ = try await relay.channel.finish()
  }

  @Test func everyCutOfTheStream() async throws {
    let behind = framed([1, 2, 3]) + framed([]) + framed(pattern(300))
    var cut = 0
    while true {
      let relay = try await TestChannel(receiveLimit: 100_000)
      let stream = relay.greeting + behind
      guard cut <= stream.count else { break }
      try await relay.send(Array(stream[..<cut]))
      try await relay.send(Array(stream[cut...]))
      _ = try await relay.opened.get()
      _ = try await relay.channel.finish()
      relay.inbox.finish()
      var packets: [[UInt8]] = []
      while let packet = try await relay.inbox.next() { packets.append(Array(buffer: packet)) }
      #expect(packets == [[1, 2, 3], [], pattern(300)], "cut at \(cut)")
      cut += 1
    }
  }
}

/// Counts the reads that handlers behind it ask for.
final class ReadCounter: ChannelOutboundHandler, Sendable {
  typealias OutboundIn = ByteBuffer
  private let reads = Atomic(0)

  var count: Int { reads.load(ordering: .relaxed) }

  func read(context: ChannelHandlerContext) {
    reads.add(1, ordering: .relaxed)
    context.read()
  }
}
