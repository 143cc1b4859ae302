import Glibc
import Relay
import Testing

/// Packets both ways, whatever their size, and however they are split.
@Suite struct DataTests {
  /// Around every size at which the relay changes its ways: header, copying, reads, lanes.
  static let sizes = [
    0, 1, 2, 3, 4, 5, 8, 9, 12, 13, 255, 256, 257, 511, 512, 1023, 4091, 4092, 4093, 4096, 4097, 16_383, 16_384,
    16_385, 65_535, 65_536, 131_072, 262_139, 262_140, 262_143, 262_144, 262_145, 524_288, 1_048_575, 1_048_576,
    1_048_577, 2_500_000,
  ]

  @Test(arguments: Layout.allCases)
  func `every size passes, both ways`(_ layout: Layout) throws {
    let rig = try Rig(layout)
    let client = try rig.test.client()
    for size in DataTests.sizes {
      let data = pattern(size, size)
      try sendApart(rig, client, data)
    }
  }

  /// One packet up and down, with the ends of large ones read while their beginnings are sent.
  private func sendApart(_ rig: Rig, _ client: RawClient, _ data: [UInt8]) throws {
    let sender = Background { try client.send(data) }
    #expect(try rig.firehose.receive() == .data(client.id, data))
    try sender.join()
    let answer = Background { try rig.firehose.send(.data(client.id, data)) }
    #expect(try client.receive() == data)
    try answer.join()
  }

  @Test(arguments: Layout.allCases)
  func `the largest packet passes both ways, and one byte more ends its client`(_ layout: Layout) throws {
    let rig = try Rig(layout)
    let client = try rig.test.client()
    let other = try rig.test.client()
    let most = 8_388_599
    try sendApart(rig, client, pattern(most))
    try sendApart(rig, client, pattern(most, 1))
    let sender = Background { try? client.socket.send(framed([1]) + framed(pattern(most + 1))) }
    let (data, reason) = try rig.firehose.receiveUntilFailure(of: client.id)
    #expect(data == [[1]])
    #expect(reason == "packet too large")
    #expect(try client.socket.receiveToEnd() == ([], .fin))
    try sender.join()
    client.socket.reset()
    #expect(try rig.roundTrip(other))
  }

  @Test(arguments: Layout.allCases)
  func `a small maximum is a maximum`(_ layout: Layout) throws {
    let rig = try Rig(layout) { $0.maxPacketSize = 100 }
    let other = try rig.test.client()
    for size in [101, 1 << 20, Int(UInt32.max)] {
      let client = try rig.test.client()
      try client.send(pattern(100), [])
      try rig.firehose.send(.data(client.id, pattern(100, 2)))
      #expect(try client.receive() == pattern(100, 2))
      // The size alone is refused: nothing of such a packet is waited for.
      try client.socket.send((0..<4).map { UInt8(truncatingIfNeeded: size >> (8 * $0)) })
      let (data, reason) = try rig.firehose.receiveUntilFailure(of: client.id)
      #expect(data == [pattern(100), []])
      #expect(reason == "packet too large")
      #expect(try client.socket.receiveToEnd() == ([], .fin))
      #expect(try rig.roundTrip(other, pattern(100)))
    }
  }

  @Test func `the least maximum carries packets of no bytes and of one`() throws {
    let rig = try Rig { $0.maxPacketSize = 1 }
    let client = try rig.test.client()
    #expect(try rig.roundTrip(client, []))
    #expect(try rig.roundTrip(client, [7]))
    try client.send([1, 2])
    #expect(try rig.firehose.receive() == .failure(client.id, "packet too large"))
  }

  @Test(arguments: Layout.allCases, [UInt64(1), 2, 3])
  func `many clients' packets, split anywhere, come back in order`(_ layout: Layout, _ seed: UInt64) throws {
    let backend = try EchoThread()
    let test = try TestRelay(layout, backend: backend.endpoint)
    var random = Random(seed)
    var exchanges = try (0..<24).map { _ in Exchange(try test.client()) }
    for index in exchanges.indices {
      for number in 0..<60 {
        let size =
          switch random.below(10) {
          case 0: 0
          case 1: 20_000 + random.below(80_000)
          case 2: 1000 + random.below(5000)
          default: random.below(64)
          }
        exchanges[index].outgoing += framed(pattern(size, number))
        exchanges[index].expected.append(pattern(size, number))
      }
    }
    let done = try test.eventually {
      for index in exchanges.indices { try exchanges[index].step(&random) }
      return exchanges.allSatisfy(\.isDone)
    }
    #expect(done)
    for exchange in exchanges { #expect(Received(bytes: exchange.incoming) == exchange.expected.flatMap(framed)) }
    backend.stop()
    #expect(backend.violation == nil)
  }

  /// One client's stream, sent in pieces.
  struct Exchange {
    let client: RawClient
    var outgoing: [UInt8] = []
    var sent = 0
    var expected: [[UInt8]] = []
    var incoming: [UInt8] = []

    init(_ client: RawClient) { self.client = client }

    var isDone: Bool { sent == outgoing.count && incoming.count >= outgoing.count }

    mutating func step(_ random: inout Random) throws {
      let most = random.below(3) == 0 ? random.below(30) : random.below(60_000)
      let end = min(outgoing.count, sent + most)
      if end > sent { sent += try client.socket.sendSome(outgoing[sent..<end]) }
      incoming += try client.socket.takeArrived()
    }
  }

  @Test(arguments: Layout.allCases)
  func `a hundred thousand packets of no bytes pass`(_ layout: Layout) throws {
    let rig = try Rig(layout)
    let client = try rig.test.client()
    let count = 100_000
    let sender = Background { try client.socket.send([UInt8](repeating: 0, count: 4 * count) + framed([1])) }
    var arrived = 0
    while case let packet = try rig.firehose.receive(), packet.data.isEmpty { arrived += 1 }
    #expect(arrived == count)
    try sender.join()

    let empty = Tagged.data(client.id, []).bytes
    let answers = Background {
      for _ in 0..<100 { try rig.firehose.socket.send((0..<(count / 100)).flatMap { _ in empty }) }
      try rig.firehose.send(.data(client.id, [1]))
    }
    #expect(try client.socket.receive(4 * count).allSatisfy { $0 == 0 })
    #expect(try client.receive() == [1])
    try answers.join()
  }
}
