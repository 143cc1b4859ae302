import Glibc
import Testing

@testable import Relay

/// What waits for a client, against a list of packets that cannot be wrong: at random packets come, the socket takes
/// some, acknowledges some, is lost, and comes back. After each step everything that is kept is compared, and what it
/// costs is looked up at the allocator.
@Suite struct PendingBytesTests {
  private struct Model {
    var packets: [[UInt8]] = []
    /// For each packet, whether it is volatile.
    var volatile: [Bool] = []
    var sent = 0
    var bytes: [UInt8] { packets.flatMap { $0 } }

    mutating func forget(_ limit: Int) {
      var left = limit
      while let first = packets.first, first.count <= left {
        left -= first.count
        sent -= first.count
        packets.removeFirst()
        volatile.removeFirst()
      }
    }

    var volatileBytes: Int { packets.indices.reduce(0) { volatile[$1] ? $0 + packets[$1].count : $0 } }

    /// Drops those that are not begun. Returns how many.
    mutating func dropVolatile() -> Int {
      var place = 0
      let kept = packets.indices.filter { index in
        defer { place += packets[index].count }
        return !volatile[index] || place < sent
      }
      defer {
        packets = kept.map { packets[$0] }
        volatile = kept.map { volatile[$0] }
      }
      return packets.count - kept.count
    }
  }

  private static func packet(_ size: Int, _ random: inout SeededRandom) -> [UInt8] {
    let data = (0..<size).map { _ in UInt8(truncatingIfNeeded: random.next()) }
    return withUnsafeBytes(of: UInt32(size).littleEndian, Array.init) + data
  }

  private static func append(_ packet: [UInt8], to pending: inout PendingBytes, isVolatile: Bool = false) {
    let isKept = pending.append(packet, packet.count, isVolatile: isVolatile)
    #expect(isKept)
  }

  private static func unsent(_ pending: inout PendingBytes) -> [UInt8] {
    withUnsafeTemporaryAllocation(of: iovec.self, capacity: 1000) { vectors in
      let listed = pending.listUnsent(vectors.baseAddress!, room: 1000, most: .max)
      let bytes = vectors.prefix(listed.pieces).flatMap {
        Array(UnsafeRawBufferPointer(start: $0.iov_base, count: $0.iov_len))
      }
      #expect(bytes.count == listed.bytes)
      return bytes
    }
  }

  @Test(arguments: 1...40 as ClosedRange<UInt64>)
  func keepsWhatItIsGiven(seed: UInt64) {
    var random = SeededRandom(seed: seed)
    let largest = [20, 300, 5000, 200_000][random.below(4)]
    var pending = PendingBytes()
    var model = Model()
    defer { pending.clear() }
    for _ in 0..<300 {
      switch random.below(9) {
      case 0, 1, 2:
        let packet = Self.packet(random.below(largest), &random)
        let isVolatile = random.oneIn(3)
        Self.append(packet, to: &pending, isVolatile: isVolatile)
        model.packets.append(packet)
        model.volatile.append(isVolatile)
      case 3, 4:
        let taken = random.below(pending.unsentCount + 1)
        pending.advance(taken)
        model.sent += taken
        model.forget(model.sent)
      case 5:
        let taken = random.below(pending.unsentCount + 1)
        pending.advanceKeeping(taken)
        model.sent += taken
      case 6:
        let unacknowledged = random.below(model.sent + 10)
        pending.acknowledge(allBut: unacknowledged)
        model.forget(model.sent - min(model.sent, unacknowledged))
      case 7:
        let dropped = pending.dropVolatile()
        #expect(dropped == model.dropVolatile())
      default:
        let dropped = pending.rewind(exempt: random.below(2 * largest))
        model.sent = 0
        #expect(dropped == model.dropVolatile())
        var own = PendingBytes()
        if random.oneIn(2) {
          let ping: [UInt8] = [1, 0, 0, 0, 0]
          let isKept = own.append(own: ping, ping.count)
          #expect(isKept)
          model.packets.insert(ping, at: 0)
          model.volatile.insert(false, at: 0)
        }
        own.carryOver(pending, exempt: random.below(2 * largest))
        pending = own
        // The relay's own packets are for this socket alone.
        pending.rewind(exempt: .max)
        if model.packets.first == [1, 0, 0, 0, 0] {
          model.packets.removeFirst()
          model.volatile.removeFirst()
        }
      }
      pending.checkInvariants()
      let bytes = model.bytes
      #expect(pending.hasVolatile == (model.volatileBytes > 0))
      #expect(pending.areVolatile == (!bytes.isEmpty && model.volatileBytes == bytes.count))
      #expect(pending.count == bytes.count)
      #expect(pending.unsentCount == bytes.count - model.sent)
      let unsent = Self.unsent(&pending)
      #expect(unsent == Array(bytes.dropFirst(model.sent)))
      #expect(pending.memory <= 2 * pending.count + 2 * Limits.pendingPieceMost + 96)
    }
  }

  /// What has been taken nearly whole, and is carried over to a stale session, costs what is left of it and no more.
  @Test(arguments: [1, 100, 1000, 60_000, 200_000])
  func givesBackWhatItHasNoUseFor(rest: Int) {
    var random = SeededRandom(seed: 1)
    var pending = PendingBytes()
    defer { pending.clear() }
    for size in [1 << 20, 100, rest] {
      let packet = Self.packet(size, &random)
      Self.append(packet, to: &pending)
    }
    pending.advance((1 << 20) + 4 + 50)
    pending.rewind(exempt: 0)
    pending.checkInvariants()
    #expect(pending.count == 104 + 4 + rest)
    #expect(pending.memory < pending.count + pending.count / 100 + 2 * Limits.pendingPieceLeast + 96)
  }

  /// Small packets take small memory: what one stale session holds of one small packet is one small piece.
  @Test func aSmallPacketTakesASmallPiece() {
    var pending = PendingBytes()
    #expect(pending.memory == 0)
    Self.append([1, 0, 0, 0, 9], to: &pending)
    #expect(pending.memory <= Limits.pendingPieceLeast + 96)
    pending.advance(5)
    #expect(pending.memory == 0)
  }

  /// What is volatile counts towards no limit, wherever it is.
  @Test func whatIsVolatileCountsTowardsNoLimit() {
    var pending = PendingBytes()
    defer { pending.clear() }
    let packet: [UInt8] = [6, 0, 0, 0] + [UInt8](repeating: 1, count: 6)
    for number in 0..<10 { Self.append(packet, to: &pending, isVolatile: number % 2 == 0) }
    #expect(pending.limitedCount == 50)
    pending.advance(15)
    #expect(pending.count == 90 && pending.limitedCount == 50)
    pending.advance(5)
    #expect(pending.limitedCount == 40)
    let dropped = pending.dropVolatile()
    #expect(dropped == 4 && pending.count == 40 && pending.limitedCount == 40)
  }

  /// Of what is carried over so much counts towards no limit, and it is the first to be delivered.
  @Test func whatIsCarriedOverIsExemptUntilItIsDelivered() {
    var pending = PendingBytes()
    defer { pending.clear() }
    let packet: [UInt8] = [6, 0, 0, 0] + [UInt8](repeating: 1, count: 6)
    for _ in 0..<10 { Self.append(packet, to: &pending) }
    #expect(pending.limitedCount == 100)
    pending.rewind(exempt: 70)
    #expect(pending.limitedCount == 30)
    pending.advance(50)
    #expect(pending.limitedCount == 30)
    pending.advance(30)
    #expect(pending.limitedCount == 20)
  }
}
