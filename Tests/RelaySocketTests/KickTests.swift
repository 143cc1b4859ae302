import Glibc
import Relay
import Testing

/// A kick ends a session for good, after what was sent before it.
@Suite struct KickTests {
  @Test(arguments: Layout.allCases)
  func `what was sent before it arrives, then a FIN`(_ layout: Layout) throws {
    let rig = try Rig(layout)
    let other = try rig.test.client()
    for data in [[], Array("ignored".utf8)] {
      let client = try rig.test.client()
      try client.send([1], [2])
      #expect(try rig.firehose.receive() == .data(client.id, [1]))
      #expect(try rig.firehose.receive() == .data(client.id, [2]))
      try rig.firehose.send(.data(client.id, pattern(100_000)), .data(client.id, []), .kick(client.id, data))
      #expect(try client.receive() == pattern(100_000))
      #expect(try client.receive() == [])
      #expect(try client.socket.receiveToEnd() == ([], .fin))
      #expect(try rig.firehose.receive() == .failure(client.id, "kicked"))

      // Nothing is taken any more, and the client is no session to anybody.
      for _ in 0..<50 { try client.send(pattern(1000)) }
      try rig.firehose.send(.data(client.id, [1]), .kick(client.id))
      #expect(try rig.firehose.receive() == .failure(client.id, "unknown client"))
      #expect(try rig.firehose.receive() == .failure(client.id, "unknown client"))
      client.socket.finish()
      #expect(SocketCalls.option(client.socket.descriptor, SOL_SOCKET, SO_ERROR) == 0)
      #expect(try rig.roundTrip(other))
    }
  }

  /// The client sends without a pause: its packets up to some point, then one 0x01, then nothing of it.
  @Test(arguments: Layout.allCases)
  func `packets taken before it precede the end, in order`(_ layout: Layout) throws {
    let rig = try Rig(layout)
    for round in 0..<10 {
      let client = try rig.test.client()
      let sender = Background {
        for number in 0..<20_000 {
          try client.socket.send(framed(pattern(8, number)))
        }
        client.socket.finish()
      }
      for number in 0..<(100 * round + 1) {
        #expect(try rig.firehose.receive() == .data(client.id, pattern(8, number)))
      }
      try rig.firehose.send(.kick(client.id))
      let (data, reason) = try rig.firehose.receiveUntilFailure(of: client.id)
      #expect(reason == "kicked")
      let first = 100 * round + 1
      #expect(data == (0..<data.count).map { pattern(8, first + $0) })
      try sender.join()
      #expect(try client.socket.receiveToEnd() == ([], .fin))
    }
    let last = try rig.test.client()
    #expect(try rig.roundTrip(last))
  }

  /// A plain close would reset the connection, because of the client's unread bytes, and lose most of what is queued.
  @Test(arguments: Layout.allCases)
  func `megabytes that are queued arrive at a slow reader that goes on sending`(_ layout: Layout) throws {
    let rig = try Rig(layout) { $0.clientSendBuffer = 8 << 20 }
    let client = try rig.test.client(receiveBuffer: 8192)
    let packets = (0..<39).map { pattern(100_000, $0) }
    for packet in packets { try rig.firehose.send(.data(client.id, packet)) }
    try rig.firehose.send(.kick(client.id))
    #expect(try rig.firehose.receive() == .failure(client.id, "kicked"))
    for packet in packets {
      _ = try client.socket.sendSome(pattern(10_000)[...])
      #expect(try client.receive() == packet)
      usleep(5000)
    }
    #expect(try client.socket.receiveToEnd() == ([], .fin))
  }

  @Test func `many are kicked at once`() throws {
    let rig = try Rig(.own)
    let clients = try (0..<100).map { _ in try rig.test.client() }
    let packets = clients.flatMap { [Tagged.data($0.id, [1]), .data($0.id, pattern(300)), .kick($0.id)] }
    try rig.firehose.socket.send(packets.flatMap(\.bytes))
    for client in clients {
      #expect(try client.socket.receiveToEnd() == (framed([1]) + framed(pattern(300)), .fin))
    }
    let ended = try Set(clients.map { _ in try rig.firehose.receive().id })
    #expect(ended == Set(clients.map(\.id)))
  }
}
