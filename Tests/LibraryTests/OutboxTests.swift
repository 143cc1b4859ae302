import NIOCore
import Testing
import VoltlaneNIO

@Suite(.timeLimit(.minutes(10))) struct OutboxTests {
  /// An outbox whose other side reads only when asked to.
  private func pair(limit: Int) async throws -> (outbox: Outbox, sender: BytePeer, receiver: BytePeer) {
    let listener = try await ByteListener.start()
    let sender = try await BytePeer.connect(to: listener.endpoint)
    let receiver = await listener.accept()
    await listener.stop()
    return (Outbox(channel: sender.channel, limit: limit), sender, receiver)
  }

  private func send(_ bytes: [UInt8], on outbox: Outbox) async throws {
    try await outbox.send(
      header: { $0.writeInteger(UInt32(bytes.count), endianness: .little) }, data: ByteBuffer(bytes: bytes))
  }

  @Test func sendersShareTheBoundAndKeepTheirOrder() async throws {
    let (outbox, sender, receiver) = try await pair(limit: 100_000)
    let size = 3000
    let count = 500
    try await withThrowingTaskGroup(of: Void.self) { group in
      for task in 0..<4 {
        group.addTask {
          for number in 0..<count {
            // Small ones are copied together, large ones go as they are.
            let bytes = [UInt8(task), UInt8(number & 255)] + pattern(number % 3 == 0 ? 2 * size : size)
            try await send(bytes, on: outbox)
          }
        }
      }
      group.addTask {
        var next: [Int] = [0, 0, 0, 0]
        for _ in 0..<4 * count {
          #expect(outbox.bytes <= 100_000 + 2 * size + 66)
          let packet = try #require(await receiver.readPacket())
          let task = Int(packet[0])
          #expect(packet[1] == UInt8(next[task] & 255))
          #expect(packet.dropFirst(2).elementsEqual(pattern(next[task] % 3 == 0 ? 2 * size : size)))
          next[task] += 1
        }
      }
      try await group.waitForAll()
    }
    await sender.close()
  }

  @Test func aCancelledSenderSendsNothing() async throws {
    let (outbox, sender, receiver) = try await pair(limit: 1)
    let large = pattern(64 << 20)
    // The socket does not take all of it, so that the next sender waits.
    try await send(large, on: outbox)
    let waiting = Task { try await send([1], on: outbox) }
    await Task.yield()
    waiting.cancel()
    await #expect(throws: OutboxRefusal.cancelled) { try await waiting.value }
    async let last: Void = send([2], on: outbox)
    #expect(await receiver.readPacket() == large)
    try await last
    #expect(await receiver.readPacket() == [2])
    await sender.close()
  }

  @Test func closingWakesWhoWaits() async throws {
    let (outbox, sender, _) = try await pair(limit: 1)
    try await send(pattern(64 << 20), on: outbox)
    let waiting = Task { try await send([1], on: outbox) }
    await Task.yield()
    outbox.close()
    await #expect(throws: OutboxRefusal.closed) { try await waiting.value }
    await #expect(throws: OutboxRefusal.closed) { try await send([1], on: outbox) }
    await sender.close()
  }

  @Test func finishSendsWhatIsQueued() async throws {
    let (outbox, sender, receiver) = try await pair(limit: 1 << 30)
    let packets = (0..<50).map { pattern($0 * 20_000) }
    for packet in packets { try await send(packet, on: outbox) }
    async let finished: Void = outbox.finish()
    #expect(await receiver.readToEnd() == packets.flatMap(framed))
    try await finished
    await #expect(throws: OutboxRefusal.closed) { try await send([1], on: outbox) }
    // Again does nothing more.
    try await outbox.finish()
    await sender.close()
  }
}
