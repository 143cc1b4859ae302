import Glibc
import Testing
import VoltlaneWire

@testable import Relay

/// The way up against a list of packets: whatever is appended, in whatever form, is gathered once and in order, however
/// little the socket takes of it at a time, and whole again after a connection is lost. How it works: from every place
/// of the smallest ring on a few packets go through, as the place draws them.
@Suite struct UplinkLaneProperties {
  private static let capacity = 4096

  /// What the lane must hold.
  private struct Model {
    struct Packet {
      var wire: [UInt8]
      /// Bytes of the ring.
      var inLane: Int
      var referenced: Int
    }
    var waiting: [Packet] = []
    var published = 0
    var sentOfHead = 0
    /// Bytes of the ring that the producer does not get back before a release.
    var kept = 0
    var keptReferences = 0

    var wire: [UInt8] { Array(waiting.prefix(published).flatMap(\.wire).dropFirst(sentOfHead)) }

    mutating func append(_ id: UInt64, _ data: [UInt8], referenced: Int? = nil) {
      let header =
        withUnsafeBytes(of: UInt32(data.count + Wire.tag).littleEndian, Array.init)
        + withUnsafeBytes(of: id.littleEndian, Array.init) + [0]
      waiting.append(
        Packet(
          wire: header + data, inLane: referenced == nil ? header.count + data.count : header.count,
          referenced: referenced ?? 0))
    }

    mutating func drop(_ count: Int) {
      kept += waiting.prefix(count).reduce(0) { $0 + $1.inLane }
      waiting.removeFirst(count)
      published -= count
    }

    mutating func advance(_ count: Int) {
      sentOfHead += count
      while published > 0, sentOfHead >= waiting[0].wire.count {
        sentOfHead -= waiting[0].wire.count
        drop(1)
      }
    }
  }

  private static func data(_ count: Int, _ random: inout SeededRandom) -> [UInt8] {
    let first = UInt8(truncatingIfNeeded: random.next())
    return (0..<count).map { first &+ UInt8(truncatingIfNeeded: $0) }
  }

  @Test(arguments: 0..<8) func `packets go through whole and in order`(eighth: Int) throws {
    let arena = Arena.forTests
    let lane = try UplinkLane(arena, capacity: Self.capacity)
    let budget = SharedBudget(arena, limit: .max, shards: 1)
    for start in stride(from: eighth, to: Self.capacity, by: 8) {
      // Every other start is just before the end of 32 bits. (That of the 64 is centuries away, and not meant.)
      try run(from: UInt64(start) + (start % 2 == 0 ? 0 : 1 << 32 - UInt64(Self.capacity)), lane, budget)
    }
    expect(budget.charged == 0)
  }

  private func run(from start: UInt64, _ lane: UplinkLane, _ budget: SharedBudget) throws {
    for indices in [lane.indices, lane.references.indices] {
      indices.head = start
      indices.tail = start
    }
    lane.freedBytes.relaxed = 0
    var producer = UplinkProducer(lane)
    var consumer = UplinkConsumer(lane)
    var model = Model()
    var random = SeededRandom(seed: start)
    for _ in 0..<24 {
      step(&producer, &consumer, &model, budget, &random, start)
    }
    _ = producer.publish()
    model.published = model.waiting.count
    while !model.wire.isEmpty { gather(&consumer, &model, &random, takesAll: true) }
    _ = consumer.release()
    expect(consumer.isEmpty && producer.isEmpty())
    expect(producer.room(for: .max) == Self.capacity)
  }

  private func step(
    _ producer: inout UplinkProducer, _ consumer: inout UplinkConsumer, _ model: inout Model, _ budget: SharedBudget,
    _ random: inout SeededRandom, _ start: UInt64
  ) {
    let id = random.next()
    switch random.below(10) {
    case 0...4:
      let data = Self.data(random.below(700), &random)
      let room = producer.room(for: data.count + UplinkProducer.headerSize)
      let used = model.kept + model.waiting.reduce(0) { $0 + $1.inLane }
      expect(room <= Self.capacity - used, "from \(start)")
      guard room >= data.count + UplinkProducer.headerSize else {
        // It looked once more: that is all there is.
        expect(room == Self.capacity - used, "from \(start)")
        return
      }
      append(data, id, &producer, &model, budget, &random)
    case 5:
      let isNew = producer.publish()
      expect(isNew == (model.published < model.waiting.count))
      model.published = model.waiting.count
    case 6, 7: gather(&consumer, &model, &random, takesAll: random.oneIn(3))
    case 8:
      _ = consumer.release()
      model.kept = 0
    default: lose(&consumer, &model, &random)
    }
  }

  private func append(
    _ data: [UInt8], _ id: UInt64, _ producer: inout UplinkProducer, _ model: inout Model, _ budget: SharedBudget,
    _ random: inout SeededRandom
  ) {
    switch random.below(4) {
    case 0: producer.append(id: id, flag: .data, data, data.count)
    case 1:
      let cut = random.below(data.count + 1)
      let (first, second) = (Array(data[..<cut]), Array(data[cut...]))
      producer.append(id: id, first, first.count, second, second.count)
    case 2:
      guard !data.isEmpty, producer.hasReferenceRoom(),
        let buffer = PacketBuffer(copying: data, data.count, capacity: data.count, budget)
      else { return }
      budget.giveBack(data.count)
      producer.append(id: id, reference: buffer)
      return model.append(id, data, referenced: data.count)
    default:
      // As it comes from a client, and the start of another packet behind it.
      let wire = withUnsafeBytes(of: UInt32(data.count).littleEndian, Array.init) + data + [9, 0, 0, 0, 1]
      let ended = wire.withUnsafeBytes { wire -> Int in
        guard let first = wire.baseAddress else { return -1 }
        let appended = producer.appendAll(id: id, from: first, to: first + wire.count, maxSize: 1000)
        expect(appended.count == 1)
        return appended.end - first
      }
      expect(ended == data.count + Wire.sizePrefix)
    }
    model.append(id, data)
  }

  private func gather(
    _ consumer: inout UplinkConsumer, _ model: inout Model, _ random: inout SeededRandom, takesAll: Bool
  ) {
    withUnsafeTemporaryAllocation(of: iovec.self, capacity: 16) { vectors in
      guard let vectors = vectors.baseAddress else { return }
      let used = consumer.gather(vectors, room: 2 + random.below(14))
      var bytes: [UInt8] = []
      for index in 0..<used {
        bytes += UnsafeRawBufferPointer(start: vectors[index].iov_base, count: vectors[index].iov_len)
      }
      expect(bytes.count == consumer.gatheredBytes)
      expect(bytes == Array(model.wire.prefix(bytes.count)))
      expect(bytes.isEmpty == model.wire.isEmpty)
      let sent = takesAll ? bytes.count : random.below(bytes.count + 1)
      // What is left over is another lane's.
      let left = consumer.advance(takesAll ? sent + 3 : sent)
      expect(left == (takesAll ? 3 : 0))
      model.advance(sent)
      expect(consumer.sentOfHead == model.sentOfHead)
    }
  }

  /// The connection is gone, and with it now and then the packet that it had in part, or all there is.
  private func lose(_ consumer: inout UplinkConsumer, _ model: inout Model, _ random: inout SeededRandom) {
    let wasBegun = model.sentOfHead > 0
    consumer.connectionLost()
    model.sentOfHead = 0
    guard model.published > 0 else { return }
    switch random.below(4) {
    case 0 where wasBegun:
      let tag = consumer.dropPacketAtHead()
      expect(withUnsafeBytes(of: tag.clientID.littleEndian, Array.init) == Array(model.waiting[0].wire[4..<12]))
      model.drop(1)
    case 1:
      consumer.discard()
      model.drop(model.published)
    default: break
    }
  }
}
