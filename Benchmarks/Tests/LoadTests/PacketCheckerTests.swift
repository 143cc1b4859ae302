import Testing

@testable import Load

/// The checker alone, fed with streams made here: right ones in every cut, and every way of being wrong.
struct PacketCheckerTests {
  static let client = 7

  /// A stream of echoes as one client would receive it.
  struct Stream {
    let pattern: Pattern
    var bytes: [UInt8] = []

    init(size: Int) {
      self.init(PacketSizes(size))
    }

    init(_ sizes: PacketSizes) {
      pattern = Pattern(sizes)
    }

    func packet(_ sequence: UInt64, client: Int = client) -> [UInt8] {
      var packet = [UInt8](repeating: 0, count: pattern.frame(client: client, sequence: sequence))
      _ = packet.withUnsafeMutableBytes { pattern.write(client: client, sequence: sequence, to: $0.baseAddress!) }
      return packet
    }

    mutating func append(_ sequences: UInt64...) {
      for sequence in sequences { bytes += packet(sequence) }
    }

    /// Feeds the stream to a checker in pieces of `step` bytes and returns what it found, with `sent` packets sent.
    func check(sent: UInt64, step: Int = .max) -> (faults: Faults, answered: UInt64) {
      var checker = PacketChecker()
      var faults = Faults()
      var missing = Faults.Missing()
      bytes.withUnsafeBytes { stream in
        var at = 0
        while at < stream.count {
          let count = min(step, stream.count - at)
          checker.consume(
            stream.baseAddress! + at, count: count, client: client, sent: sent, pattern: pattern, faults: &faults,
            missing: &missing)
          at += count
        }
      }
      faults.lost = Int(sent - checker.answered)
      return (faults, checker.answered)
    }
  }

  @Test(arguments: [0, 1, 3, 7, 8, 9, 64, 1000])
  func `a right stream has no faults, however it is cut`(size: Int) {
    var stream = Stream(size: size)
    stream.append(0, 1, 2, 3, 4)
    for step in 1...stream.bytes.count {
      let result = stream.check(sent: 5, step: step)
      #expect(result.faults == Faults(), "in pieces of \(step)")
      #expect(result.answered == 5)
    }
  }

  @Test(arguments: [1, 7, 8, 64])
  func `any changed byte of a packet is found, however the stream is cut`(size: Int) {
    var right = Stream(size: size)
    right.append(0, 1, 2)
    for place in (size + 2 * Pattern.prefix)..<(2 * (size + Pattern.prefix)) {
      var stream = right
      stream.bytes[place] ^= 0x10
      for step in [1, 2, 5, Int.max] {
        let result = stream.check(sent: 3, step: step)
        #expect(result.faults.corrupt == 1, "byte \(place), pieces of \(step)")
        #expect(result.faults.lost == 0)
      }
    }
  }

  @Test func `packets of many sizes are followed, however the stream is cut`() throws {
    var stream = Stream(try PacketSizes("0,3,8:2,40:3"))
    for sequence in 0..<20 { stream.append(UInt64(sequence)) }
    for step in 1...50 {
      let result = stream.check(sent: 20, step: step)
      #expect(result.faults == Faults(), "in pieces of \(step)")
      #expect(result.answered == 20)
    }
    stream.bytes[stream.bytes.count / 2] ^= 1
    #expect(stream.check(sent: 20).faults != Faults())
  }

  @Test func `a lost packet is found`() {
    var stream = Stream(size: 64)
    stream.append(0, 1, 3, 4)
    var expected = Faults()
    expected.lost = 1
    #expect(stream.check(sent: 5).faults == expected)
  }

  @Test func `a lost packet too small for a label is found`() {
    var stream = Stream(size: 5)
    stream.append(0, 1, 3, 4)
    let faults = stream.check(sent: 5).faults
    #expect(faults.corrupt == 2)
    #expect(faults.lost == 1)
  }

  @Test func `a late packet is out of order and not lost`() {
    var stream = Stream(size: 64)
    stream.append(0, 2, 3, 1, 4)
    var expected = Faults()
    expected.outOfOrder = 1
    #expect(stream.check(sent: 5).faults == expected)
  }

  @Test func `a packet that comes again is a duplicate and answers nothing`() {
    var stream = Stream(size: 64)
    stream.append(0, 1, 1, 2)
    var expected = Faults()
    expected.duplicates = 1
    let result = stream.check(sent: 3)
    #expect(result.faults == expected)
    #expect(result.answered == 3)
  }

  @Test func `the packet of another client is found`() {
    var stream = Stream(size: 64)
    stream.append(0)
    stream.bytes += stream.packet(1, client: Self.client + 1)
    #expect(stream.check(sent: 2).faults.corrupt == 1)
  }

  @Test func `a packet that was never sent is found`() {
    var stream = Stream(size: 64)
    stream.append(0, 9)
    #expect(stream.check(sent: 2).faults.corrupt == 1)
  }

  @Test func `a packet of another size is found and the stream goes on`() {
    var stream = Stream(size: 64)
    stream.append(0)
    stream.bytes += [3, 0, 0, 0, 1, 2, 3]
    stream.append(2)
    for step in [1, 3, Int.max] {
      var expected = Faults()
      expected.wrongSize = 1
      #expect(stream.check(sent: 3, step: step).faults == expected)
    }
  }

  @Test func `a size out of all bounds breaks the stream`() {
    var stream = Stream(size: 64)
    stream.append(0)
    stream.bytes += [0xff, 0xff, 0xff, 0xff]
    stream.append(1)
    let faults = stream.check(sent: 2).faults
    #expect(faults.closed == 1)
    #expect(faults.lost == 1)
  }
}
