import Glibc
import Testing
import VoltlaneWire

@testable import Relay

/// Packets from the backend, gathered for one client, against the bytes that they are: from many places of the lane and
/// of the memory on, across the ends of both, and across the end of the 32 bits in which a shard keeps places.
@Suite struct DownlinkProperties {
  /// Packets in a lane, as the firehose leaves them, listed from `first` on.
  private struct Scene: ~Copyable {
    let memory: DownlinkMemory
    var consumer: RecordConsumer<Descriptor>
    var first: UInt32 = 0
    var count: UInt32 = 0
    var packets: [[UInt8]] = []

    /// `runs` of packets with data of `sizes`, each run for one descriptor.
    init(
      _ lane: DownlinkLane, from place: UInt64, at start: UInt64, runs: [[Int]], _ random: inout SeededRandom
    ) {
      memory = lane.memory
      lane.descriptors.indices.head = place
      lane.descriptors.indices.tail = place
      var producer = RecordProducer(lane.descriptors)
      consumer = RecordConsumer(lane.descriptors)
      var position = start
      for run in runs {
        for (number, size) in run.enumerated() {
          let data = (0..<size).map { _ in UInt8(truncatingIfNeeded: random.next()) }
          let packet = withUnsafeBytes(of: UInt32(size).littleEndian, Array.init) + data
          for (offset, byte) in packet.enumerated() {
            memory[position + UInt64(offset)].storeBytes(of: byte, as: UInt8.self)
          }
          if number == 0 {
            producer.push(Descriptor(position: position, clientID: 7, slot: 0, dataCount: size, kind: .data))
          } else {
            producer.last()?.pointee.extend(by: packet.count)
          }
          packets.append(packet)
          position += UInt64(packet.count)
        }
        position += UInt64(Wire.tag)
      }
      _ = producer.publish()
      // As the shard lists them for their client.
      first = UInt32(truncatingIfNeeded: consumer.cursor)
      count = UInt32(consumer.available())
      for number in 0..<count { consumer.taken(first &+ number).pointee.next = first &+ number &+ 1 }
      consumer.skip(Int(count))
    }
  }

  private static func makeLane() throws -> DownlinkLane {
    let arena = Arena.forTests
    return DownlinkLane(arena, memory: try DownlinkMemory(arena, maxPacketSize: 64 * Limits.kibi))
  }

  @Test(arguments: 0..<24 as Range<UInt64>) func `one call after the other has all of it`(seed: UInt64) throws {
    let lane = try Self.makeLane()
    var buffer = GatherBuffer(Arena.forTests)
    var random = SeededRandom(seed: seed)
    for _ in 0..<6 {
      let largest = [8, 300, 6000, 60_000][random.below(4)]
      let runs = (0..<(1 + random.below(largest > 5000 ? 20 : 200))).map { _ in
        (0..<(random.oneIn(4) ? 1 + random.below(3) : 1)).map { _ in random.below(largest) }
      }
      let place = [
        0, UInt64(Limits.downlinkLane - random.below(30)), UInt64(UInt32.max) - UInt64(random.below(30)),
        .max - UInt64(random.below(30)),
      ][random.below(4)]
      let start = UInt64(lane.memory.capacity - random.below(200_000))
      var scene = Scene(lane, from: place, at: start, runs: runs, &random)
      var (position, left) = (scene.first, scene.count)
      var bytes: [UInt8] = []
      let used = random.oneIn(2) ? 0 : random.below(buffer.capacity + 1)
      while left > 0 {
        let before = left
        let count = buffer.collect(scene.consumer, scene.memory, &position, &left, behind: used)
        expect(buffer.vectorCount <= Limits.gatherVectors && left < before)
        var total = 0
        for index in 0..<buffer.vectorCount {
          let vector = buffer.vectors[index]
          bytes += UnsafeRawBufferPointer(start: vector.iov_base, count: vector.iov_len)
          total += vector.iov_len
        }
        expect(total == count)
      }
      expect(bytes == scene.packets.flatMap { $0 })
      expect(position == scene.first &+ scene.count)
      // All that was taken can be given back.
      let waited = scene.consumer.release()
      expect(!waited)
    }
  }

  @Test(arguments: 0..<8 as Range<UInt64>) func `small packets are copied one behind the other`(seed: UInt64) throws {
    let lane = try Self.makeLane()
    let buffer = GatherBuffer(Arena.forTests)
    var random = SeededRandom(seed: seed)
    for _ in 0..<20 {
      let runs = (0..<(1 + random.below(60))).map { _ in [random.below(300)] }
      let place = UInt64(UInt32.max) &- UInt64(random.below(80))
      let start = UInt64(lane.memory.capacity - random.below(10_000))
      let scene = Scene(lane, from: place, at: start, runs: runs, &random)
      buffer.copy(scene.consumer, scene.memory, scene.first, scene.count, to: buffer.start)
      let expected = scene.packets.flatMap { $0 }
      expect(Array(UnsafeRawBufferPointer(start: buffer.start, count: expected.count)) == expected)
    }
  }

  /// From each of the last places of the memory: the packets of a run lie in one piece, however it is mapped.
  @Test func `a run has its packets one by one`() throws {
    let lane = try Self.makeLane()
    var random = SeededRandom(seed: 5)
    for back in 0..<120 {
      let scene = Scene(
        lane, from: UInt64(back), at: UInt64(lane.memory.capacity - back), runs: [[3, 0, 40, 1, 7]], &random)
      var run = PacketRun(scene.consumer.taken(scene.first).pointee, in: scene.memory)
      for packet in scene.packets {
        let taken = run.take()
        expect(taken.map { Array(UnsafeRawBufferPointer(start: $0.bytes, count: $0.count)) } == packet)
      }
      let none = run.take()
      expect(none == nil)
    }
  }
}

/// What waits for a client, cut at every byte that its socket can stop at.
@Suite struct PendingBytesProperties {
  private static let sizes = [0, 3, 250, 260, 1]

  private static func bytes(_ number: Int) -> [UInt8] {
    withUnsafeBytes(of: UInt32(sizes[number]).littleEndian, Array.init)
      + (0..<sizes[number]).map { UInt8(truncatingIfNeeded: number &* 50 &+ $0) }
  }

  private static let packets = sizes.indices.map(bytes)

  private static func full() -> PendingBytes {
    var pending = PendingBytes()
    for packet in packets {
      let isKept = pending.append(packet, packet.count)
      expect(isKept)
    }
    return pending
  }

  private static func unsent(_ pending: PendingBytes) -> [UInt8] {
    withUnsafeTemporaryAllocation(of: iovec.self, capacity: 64) { vectors in
      guard let start = vectors.baseAddress else { return [] }
      let listed = pending.listUnsent(start, room: 64, most: .max)
      return vectors.prefix(listed.pieces).flatMap {
        Array(UnsafeRawBufferPointer(start: $0.iov_base, count: $0.iov_len))
      }
    }
  }

  /// The socket is gone: the first packet of which not all was delivered begins anew, and with it all behind it.
  private static func rewind(_ pending: inout PendingBytes, delivered: Int) {
    var whole = 0
    for packet in packets {
      guard whole + packet.count <= delivered else { break }
      whole += packet.count
    }
    pending.rewind(exempt: 0)
    pending.checkInvariants()
    expect(unsent(pending) == Array(packets.flatMap { $0 }[whole...]))
  }

  @Test func `what was not taken whole begins anew`() {
    let all = Self.packets.flatMap { $0 }
    for taken in 0...all.count {
      var pending = Self.full()
      defer { pending.clear() }
      pending.advance(taken)
      pending.checkInvariants()
      expect(Self.unsent(pending) == Array(all[taken...]))
      Self.rewind(&pending, delivered: taken)
    }
  }

  @Test func `what was not acknowledged whole begins anew`() {
    let all = Self.packets.flatMap { $0 }
    for acknowledged in 0...all.count {
      var pending = Self.full()
      defer { pending.clear() }
      let sent = acknowledged + (all.count - acknowledged) / 2
      pending.advanceKeeping(sent)
      pending.acknowledge(allBut: sent - acknowledged)
      pending.checkInvariants()
      expect(Self.unsent(pending) == Array(all[sent...]))
      Self.rewind(&pending, delivered: acknowledged)
    }
  }
}
