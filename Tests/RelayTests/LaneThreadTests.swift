import Glibc
import Testing
import VoltlaneWire

@testable import Relay

/// Lanes and bells between two threads that run as fast as they can, and sleep where they have nothing to do. Under the
/// thread sanitizer (tools/test --sanitize) this is what finds an access without an order; here, that none is lost and
/// nobody sleeps for ever.
@Suite struct LaneThreadTests {
  /// A thread that sleeps as a host does: it announces that, looks once more, and is woken by its bell.
  private struct Sleeper: Sendable {
    let bell: Bell
    private let ends: (read: Int32, write: Int32)

    init(_ arena: Arena) {
      bell = HostBells(arena, hosts: 1)[0]
      var pipe: [Int32] = [0, 0]
      let result = Glibc.pipe(&pipe)
      precondition(result == 0)
      ends = (pipe[0], pipe[1])
    }

    func close() {
      Glibc.close(ends.read)
      Glibc.close(ends.write)
    }

    func sleep(unless hasWork: () -> Bool) {
      bell.announceSleep()
      if !hasWork() {
        var byte: UInt8 = 0
        let count = read(ends.read, &byte, 1)
        precondition(count == 1)
      }
      bell.announceAwake()
    }

    func wake() {
      SharedWord.fence()
      guard bell.takeSleep() else { return }
      var byte: UInt8 = 1
      let count = write(ends.write, &byte, 1)
      precondition(count == 1)
    }
  }

  @Test(arguments: [1, 2, 64]) func `records arrive in order`(capacity: Int) throws {
    let count: UInt64 = 30_000
    let arena = Arena.forTests
    let lane = RecordLane<UInt64>(arena, capacity: capacity)
    let (producing, consuming) = (Sleeper(arena), Sleeper(arena))
    let thread = try OSThread(name: "producer") {
      var producer = RecordProducer(lane)
      var next: UInt64 = 0
      while next < count {
        while next < count, producer.hasRoom() {
          producer.push(next)
          next += 1
          // Sometimes many at once.
          if next % 7 == 0, producer.publish() { consuming.wake() }
        }
        if producer.publish() { consuming.wake() }
        guard next < count else { break }
        producing.sleep {
          if producer.hasRoom() { return true }
          producer.announceWaits()
          return producer.hasRoom()
        }
      }
    }
    var consumer = RecordConsumer(lane)
    var expected: UInt64 = 0
    while expected < count {
      while consumer.available() > 0 {
        let record = consumer.take()
        expect(record == expected)
        expected = record + 1
      }
      if consumer.release() { producing.wake() }
      if expected < count { consuming.sleep { consumer.available() > 0 } }
    }
    thread.join()
    producing.close()
    consuming.close()
  }

  @Test func `packets and references go up in order`() throws {
    let count = 6000
    let arena = Arena.forTests
    let lane = try UplinkLane(arena, capacity: 4096)
    let budget = SharedBudget(arena, limit: .max, shards: 1)
    let (shard, firehose) = (Sleeper(arena), Sleeper(arena))
    let thread = try OSThread(name: "shard") {
      var producer = UplinkProducer(lane)
      var data = [UInt8](repeating: 0, count: 600)
      var next = 0
      func hasRoom() -> Bool { producer.room(for: 700) >= 700 && producer.hasReferenceRoom() }
      while next < count {
        while next < count, hasRoom() {
          let size = next % 600
          for index in 0..<size { data[index] = UInt8(truncatingIfNeeded: next &+ index) }
          if next % 5 == 0, let buffer = PacketBuffer(copying: data, size, capacity: size + 1, budget) {
            budget.giveBack(size + 1)
            producer.append(id: UInt64(next), reference: buffer)
          } else {
            producer.append(id: UInt64(next), flag: .data, data, size)
          }
          next += 1
          if next % 3 == 0, producer.publish() { firehose.wake() }
        }
        if producer.publish() { firehose.wake() }
        guard next < count else { break }
        shard.sleep {
          if hasRoom() { return true }
          producer.announceWaits()
          return hasRoom()
        }
      }
    }
    var consumer = UplinkConsumer(lane)
    var received: [UInt8] = []
    let vectors = UnsafeMutablePointer<iovec>.allocate(capacity: 64)
    defer { vectors.deallocate() }
    var expected = 0
    while expected < count {
      let used = consumer.gather(vectors, room: 64)
      for index in 0..<used {
        received += UnsafeRawBufferPointer(start: vectors[index].iov_base, count: vectors[index].iov_len)
      }
      _ = consumer.advance(consumer.gatheredBytes)
      if consumer.release() { shard.wake() }
      expected += Self.check(&received, from: expected)
      if expected < count { firehose.sleep { !consumer.isEmpty } }
    }
    thread.join()
    expect(budget.charged == 0)
    shard.close()
    firehose.close()
  }

  /// Takes the whole packets at the start of `received`; returns how many there were.
  private static func check(_ received: inout [UInt8], from first: Int) -> Int {
    var number = first
    var start = 0
    while received.count - start >= UplinkProducer.headerSize {
      let size = Int(received.span.bytes.littleEndianUInt32(at: start)) - Wire.tag
      guard received.count - start - UplinkProducer.headerSize >= size else { break }
      let id = received.span.bytes.littleEndianUInt64(at: start + Wire.sizePrefix)
      start += UplinkProducer.headerSize
      let isWhole = (0..<size).allSatisfy { received[start + $0] == UInt8(truncatingIfNeeded: number &+ $0) }
      expect(id == UInt64(number) && size == number % 600 && isWhole)
      start += size
      number += 1
    }
    received.removeFirst(start)
    return number - first
  }
}
