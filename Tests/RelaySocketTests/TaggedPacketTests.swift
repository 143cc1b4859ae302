import Relay
import Testing
import VoltlaneWire

/// What a backend may get wrong: odd packets are skipped, and the stream stays in step.
@Suite struct TaggedPacketTests {
  @Test(arguments: Layout.allCases)
  func `odd packets are counted and skipped, whomever they name`(_ layout: Layout) throws {
    let rig = try Rig(layout)
    let client = try rig.test.client()
    var odd: [[UInt8]] = (0...8).map { Wire.sizePrefixBytes($0) + littleEndian(client.id).prefix($0) }
    for id in [client.id, client.id ^ 1, 0, .max] {
      for flag: UInt8 in [1, 3, 4, 7, 8, 127, 128, 255] {
        for data in [[], Array("kicked".utf8), pattern(70_000)] {
          odd.append(Tagged(id: id, flag: flag, data: data).bytes)
        }
      }
    }
    for (number, packet) in odd.enumerated() {
      let good = pattern(number % 50, number)
      try rig.firehose.socket.send(packet + Tagged.data(client.id, good).bytes)
      #expect(try client.receive() == good)
    }
    #expect(rig.test.eventually(.packetsMalformed, is: UInt64(odd.count)))
    // The flag is looked at before the id: none of them was answered, and the client lives.
    #expect(rig.relay[.packetsUnknownClient] == 0)
    #expect(try rig.roundTrip(client))
  }

  @Test func `the backend's stream may come byte by byte`() throws {
    let rig = try Rig()
    let client = try rig.test.client()
    let packets: [Tagged] = [
      .data(client.id, []), .data(client.id, [1, 2]), Tagged(id: client.id, flag: 9, data: [4]),
      .data(client.id, pattern(20)), .kick(client.id),
    ]
    try rig.firehose.socket.send(pieces: packets.flatMap(\.bytes).map { [$0] })
    #expect(try client.socket.receiveToEnd() == (framed([]) + framed([1, 2]) + framed(pattern(20)), .fin))
    #expect(try rig.firehose.receive() == .failure(client.id, "kicked"))
  }

  @Test(arguments: Layout.allCases)
  func `packets for an id that is no session are answered`(_ layout: Layout) throws {
    let rig = try Rig(layout)
    let client = try rig.test.client()
    let ended = try rig.test.client()
    ended.socket.reset()
    #expect(try rig.firehose.receive() == .failure(ended.id, "stale timeout"))
    for id in [ended.id, client.id ^ 1, client.id &+ 1, 0, 1, .max] {
      for packet in [Tagged.data(id, []), .data(id, pattern(5000)), .kick(id), .kick(id, [1, 2, 3])] {
        try rig.firehose.send(packet)
        #expect(try rig.firehose.receive() == .failure(id, "unknown client"))
      }
    }
    #expect(rig.test.eventually(.packetsUnknownClient, is: 24))
    #expect(try rig.roundTrip(client))
  }

  /// A backend that sends to unknown ids and doesn't read the answers: they are dropped, and the relay goes on reading.
  @Test(arguments: Layout.allCases)
  func `answers never stop the relay from reading`(_ layout: Layout) throws {
    let rig = try Rig(layout)
    let client = try rig.test.client()
    let unknown = Tagged.data(client.id ^ 1, []).bytes
    let some = (0..<2000).flatMap { _ in unknown }
    // The answers to these are more than kernel and lane hold.
    for _ in 0..<300 { try rig.firehose.socket.send(some) }
    try rig.firehose.send(.data(client.id, [7]))
    #expect(try client.receive() == [7])
    #expect(rig.test.eventually(.packetsUnknownClient, is: 600_000))
    // Answers that were not dropped are whole, and behind them the stream is in step.
    #expect(rig.relay[.answersDropped] > 0)
    let answer = Tagged.failure(client.id ^ 1, "unknown client").bytes
    let answers = 600_000 - Int(rig.relay[.answersDropped])
    let bytes = try rig.firehose.socket.receive(answers * answer.count)
    #expect(Received(bytes: bytes) == (0..<answers).flatMap { _ in answer })
    #expect(try rig.roundTrip(client))
  }

  @Test(arguments: Layout.allCases, [101, 1 << 20, Int(UInt32.max) - 9])
  func `an oversized packet costs the connection, and no client`(_ layout: Layout, _ size: Int) throws {
    let rig = try Rig(layout) { $0.maxPacketSize = 100 }
    let client = try rig.test.client()
    let most = Tagged.data(client.id, pattern(100))
    try rig.firehose.socket.send(most.bytes + Wire.sizePrefixBytes(9 + size) + littleEndian(client.id) + [0, 1])
    // What came whole before it is delivered.
    #expect(try client.receive() == most.data)
    _ = try rig.firehose.socket.receiveToEnd()
    let next = Rig(rig, firehose: try rig.backend.accept())
    #expect(try next.roundTrip(client, pattern(100)))
    #expect(rig.test.eventually(.backendConnections, is: 2))
    #expect(rig.relay[.sessionsEnded] == 0)
  }
}
