import Synchronization
import Testing

@testable import Relay

/// A lane of records against plain arrays, from every place of its ring on, and across the end of the 64 bits in which
/// positions are counted. How it works: a seed draws what the two ends do; after each step all that they tell is
/// compared.
@Suite struct RecordLaneProperties {
  private static let capacity = 8
  static let starts = Array(0..<UInt64(2 * capacity)) + (0..<UInt64(2 * capacity)).map { .max - $0 }

  private struct Model {
    var pushed: [Int] = []
    var published = 0
    var taken = 0
    var released = 0
    var waits = false
  }

  @Test(arguments: starts) func `it behaves like an array`(start: UInt64) {
    let lane = RecordLane<Int>(Arena.forTests, capacity: Self.capacity)
    lane.indices.head = start
    lane.indices.tail = start
    var producer = RecordProducer(lane)
    var consumer = RecordConsumer(lane)
    var model = Model()
    var random = SeededRandom(seed: start)
    for step in 0..<400 {
      switch random.below(6) {
      case 0, 1:
        let hasRoom = producer.hasRoom()
        expect(hasRoom == (model.pushed.count - model.released < Self.capacity))
        guard hasRoom else { break }
        producer.push(step)
        model.pushed.append(step)
      case 2:
        let isNew = producer.publish()
        expect(isNew == (model.published < model.pushed.count))
        model.published = model.pushed.count
      case 3:
        let count = random.oneIn(2) ? consumer.available() : consumer.availableNow()
        let there = model.published - model.taken
        expect(count <= there && (count > 0) == (there > 0))
        guard count > 0 else { break }
        expect(consumer.first == model.pushed[model.taken])
        expect(consumer.taken(UInt32(truncatingIfNeeded: consumer.cursor)).pointee == model.pushed[model.taken])
        if random.oneIn(3) {
          let skipped = 1 + random.below(count)
          consumer.skip(skipped)
          model.taken += skipped
        } else {
          let record = consumer.take()
          expect(record == model.pushed[model.taken])
          model.taken += 1
        }
      case 4:
        expect(consumer.holds == (model.released < model.taken))
        expect(consumer.isAwaited == model.waits)
        let wasAwaited = consumer.release()
        expect(wasAwaited == (model.waits && model.released < model.taken))
        if model.released < model.taken { model.waits = false }
        model.released = model.taken
      default:
        if random.oneIn(4) {
          producer.announceWaits()
          model.waits = true
        }
        let last = producer.last()?.pointee
        expect(last == (model.published < model.pushed.count ? model.pushed.last : nil))
        let oldest = producer.oldestHeld()
        expect(oldest == (model.released < model.pushed.count ? model.pushed[model.released] : nil))
      }
      expect(producer.tail == start &+ UInt64(model.pushed.count))
      expect(consumer.cursor == start &+ UInt64(model.taken))
    }
    expect(model.taken > 2 * Self.capacity)
  }
}

extension Arena {
  private static let kept = Mutex<[Arena]>([])

  /// One for a test alone, which lives as long as all of them do: nothing that a test has of it dangles.
  static var forTests: Arena {
    let arena = Arena()
    kept.withLock { $0.append(arena) }
    return arena
  }
}

/// The memory that threads share.
@Suite struct ArenaProperties {
  @Test func `blocks are zeroed, aligned and apart`() {
    let arena = Arena()
    var random = SeededRandom(seed: 7)
    var blocks: [(start: UnsafeMutableRawPointer, count: Int)] = []
    for number in 0..<200 {
      let count = 1 + random.below(500)
      let block = arena.allocate(byteCount: count)
      expect(Int(bitPattern: block) % 128 == 0)
      let bytes = UnsafeMutableRawBufferPointer(start: block, count: count)
      expect(bytes.allSatisfy { $0 == 0 })
      bytes.copyBytes(from: repeatElement(UInt8(truncatingIfNeeded: number), count: count))
      blocks.append((block, count))
    }
    for (number, block) in blocks.enumerated() {
      let bytes = UnsafeRawBufferPointer(start: block.start, count: block.count)
      expect(bytes.allSatisfy { $0 == UInt8(truncatingIfNeeded: number) })
    }
  }

  @Test func `a ring goes on at its end, wherever one begins`() throws {
    let count = 4096
    let arena = Arena()
    let ring = try arena.allocateRing(byteCount: count)
    for start in 0..<count {
      for offset in 0..<8 {
        ring.storeBytes(of: UInt8(truncatingIfNeeded: start + offset), toByteOffset: start + offset, as: UInt8.self)
      }
      for offset in 0..<8 {
        let byte = ring.load(fromByteOffset: (start + offset) % count, as: UInt8.self)
        expect(byte == UInt8(truncatingIfNeeded: start + offset))
      }
    }
  }
}
