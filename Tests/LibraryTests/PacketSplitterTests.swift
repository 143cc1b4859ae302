import NIOCore
import Testing
import VoltlaneNIO

@Suite struct PacketSplitterTests {
  let packets: [[UInt8]] = [[1, 2, 3], [], [4], [], pattern(300), [5, 6]]
  var stream: [UInt8] { packets.flatMap(framed) }

  @Test func anyTwoCutsGiveTheSamePackets() throws {
    let stream = stream
    // Every byte near the small packets, some within the large one.
    let cuts = (0...stream.count).filter { $0 < 40 || $0 % 37 == 0 || $0 > stream.count - 20 }
    for first in cuts {
      for second in cuts where second >= first {
        let parts = [stream[..<first], stream[first..<second], stream[second...]]
        #expect(try split(parts.map { Array($0) }) == packets, "cut at \(first) and \(second)")
      }
    }
  }

  @Test func oneByteAtATime() throws {
    #expect(try split(stream.map { [$0] }) == packets)
  }

  @Test func runsKeepTheBytesAndSkipTheRest() throws {
    // Packets of one byte are skipped.
    let kept = [[1, 2, 3], [], pattern(300), [5, 6]].flatMap(framed)
    let stream = [[9], [1, 2, 3], [], [4], [8], pattern(300), [5, 6], [7]].flatMap(framed)
    for cut in 0...stream.count {
      var splitter = PacketSplitter(maximum: 300)
      var runs: [UInt8] = []
      for part in [stream[..<cut], stream[cut...]] {
        splitter.append(ByteBuffer(bytes: part))
        while let run = try splitter.nextRun(where: { $0.byteCount != 1 }) { runs += Array(buffer: run) }
      }
      #expect(runs == kept, "cut at \(cut)")
      #expect(splitter.unreadCount == 0)
    }
  }

  @Test func runsAreAsLongAsTheyCan() throws {
    var splitter = PacketSplitter(maximum: 300)
    splitter.append(ByteBuffer(bytes: [[9], [1, 2], [], [4], [3, 3]].flatMap(framed)))
    var counts: [Int] = []
    while let run = try splitter.nextRun(where: { $0.byteCount != 1 }) { counts.append(run.readableBytes) }
    #expect(counts == [10, 6])
  }

  @Test func oversizedIsRefusedByItsPrefixAlone() throws {
    var splitter = PacketSplitter(maximum: 300)
    splitter.append(ByteBuffer(bytes: framed([7]) + [45, 1, 0, 0]))
    #expect(try splitter.next().map { Array(buffer: $0) } == [7])
    #expect(throws: OversizedPacket(size: 301, maximum: 300)) { try splitter.next() }
  }

  @Test func oversizedAfterARunComesAfterIt() throws {
    var splitter = PacketSplitter(maximum: 300)
    splitter.append(ByteBuffer(bytes: framed([7]) + [255, 255, 255, 255]))
    #expect(try splitter.nextRun { _ in true }.map { Array(buffer: $0) } == framed([7]))
    #expect(throws: OversizedPacket(size: 0xffff_ffff, maximum: 300)) { try splitter.nextRun { _ in true } }
  }

  @Test func aDeclaredSizeReservesNothing() throws {
    var splitter = PacketSplitter(maximum: 1 << 30)
    splitter.append(ByteBuffer(bytes: [0, 0, 0, 64, 1]))
    #expect(try splitter.next() == nil)
    #expect(splitter.unreadCapacity < 1 << 10)
  }

  private func split(_ parts: [[UInt8]]) throws -> [[UInt8]] {
    var splitter = PacketSplitter(maximum: 300)
    var found: [[UInt8]] = []
    for part in parts {
      splitter.append(ByteBuffer(bytes: part))
      while let packet = try splitter.next() { found.append(Array(buffer: packet)) }
    }
    #expect(splitter.unreadCount == 0)
    return found
  }
}
