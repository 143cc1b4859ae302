import Glibc
import Relay
import Testing
import VoltlaneWire

/// Packets that do not come to their end: bounded in time and in bytes, and nobody's delay but their client's.
@Suite struct UnfinishedPacketTests {
  @Test(arguments: Layout.allCases)
  func `a packet that stalls ends its client`(_ layout: Layout) throws {
    let rig = try Rig(layout) { $0.packetTimeout = .milliseconds(1500) }
    let idle = try rig.test.client()
    let beginnings: [[UInt8]] = [
      [9], [9, 0, 0], [9, 0, 0, 0], [9, 0, 0, 0, 1, 2], Wire.sizePrefixBytes(500_000) + pattern(300_000),
    ]
    for bytes in beginnings {
      let client = try rig.test.client()
      try client.socket.send(framed([1]) + bytes)
      #expect(try rig.firehose.receive() == .data(client.id, [1]))
      // Others go on meanwhile.
      #expect(try rig.roundTrip(idle))
      #expect(try rig.firehose.receive() == .failure(client.id, "packet timeout"))
      #expect(try client.socket.receiveToEnd() == ([], .fin))
    }
    // Between two packets there is no time that counts.
    #expect(try rig.roundTrip(idle))
    #expect(rig.test.eventually(.sessionsEnded, is: 5))
  }

  /// The time is that from the first byte to the last, not that between two reads.
  @Test func `a packet that trickles ends its client`() throws {
    let rig = try Rig { $0.packetTimeout = .milliseconds(500) }
    let client = try rig.test.client()
    let sender = Background {
      for byte in framed(pattern(4000)) {
        guard (try? client.socket.send([byte])) != nil else { return }
        usleep(5000)
      }
    }
    let (data, reason) = try rig.firehose.receiveUntilFailure(of: client.id)
    #expect(data == [])
    #expect(reason == "packet timeout")
    client.socket.finish()
    try sender.join()
  }

  @Test func `packets that are slow but in time pass, however many`() throws {
    let rig = try Rig { $0.packetTimeout = .seconds(2) }
    let client = try rig.test.client()
    // Each piece ends one packet and begins the next: 4 s in which no packet takes 2.
    let packets = (0..<40).map { pattern(5000, $0) }
    let bytes = packets.flatMap(framed)
    let sender = Background {
      var rest = bytes[...]
      while !rest.isEmpty {
        try client.socket.send(Array(rest.prefix(5004 - 700)))
        rest = rest.dropFirst(5004 - 700)
        usleep(100_000)
      }
    }
    for packet in packets { #expect(try rig.firehose.receive() == .data(client.id, packet)) }
    try sender.join()
  }

  /// What a packet declares costs nothing: 100 of a megabyte each have room in a budget of two.
  @Test(arguments: Layout.allCases)
  func `declared bytes are no bytes`(_ layout: Layout) throws {
    let rig = try Rig(layout) {
      $0.maxPacketSize = 1 << 20
      $0.assemblyBudget = 2 << 20
    }
    let clients = try (0..<100).map { _ in try rig.test.client() }
    let most = framed(pattern(1 << 20))
    for client in clients { try client.socket.send(Array(most[..<1000])) }
    #expect(try rig.firehose.socket.staysSilent(milliseconds: 300))
    // One of them goes on to the end.
    let sender = Background { try clients[50].socket.send(Array(most[1000...])) }
    #expect(try rig.firehose.receive() == .data(clients[50].id, pattern(1 << 20)))
    try sender.join()
    #expect(rig.relay[.sessionsEnded] == 0)
  }

  /// The largest ends, wherever it is: with two shards that is often the other one's, which may be asleep.
  @Test(arguments: Layout.allCases, 0..<8)
  func `over the budget the largest ends its client`(_ layout: Layout, _ round: Int) throws {
    let rig = try Rig(layout) {
      $0.maxPacketSize = 1 << 20
      $0.assemblyBudget = 1 << 20
    }
    let largest = try rig.test.client()
    let others = try (0..<4).map { _ in try rig.test.client() }
    // A buffer has up to twice the bytes that came: the largest fits alone, but not together with one of the others.
    let data = pattern(200_000)
    try largest.socket.send(Wire.sizePrefixBytes(1 << 20) + pattern(900_000))
    #expect(try rig.firehose.socket.staysSilent(milliseconds: 50))
    try others[0].socket.send(Array(framed(data)[..<100_000]))
    // Well before the other shard would wake for a timer of its own, that of the packet: 30 s.
    #expect(SocketCalls.wait(rig.firehose.socket.descriptor, POLLIN, milliseconds: 15_000))
    #expect(try rig.firehose.receive() == .failure(largest.id, "memory"))
    #expect(try largest.socket.receiveToEnd() == ([], .fin))
    #expect(try rig.firehose.socket.staysSilent())
    #expect(rig.test.eventually(.sessionsEnded, is: 1))
    for (index, client) in others.enumerated() {
      let sender = Background { try client.socket.send(Array(framed(data)[(index == 0 ? 100_000 : 0)...])) }
      #expect(try rig.firehose.receive() == .data(client.id, data))
      try sender.join()
    }
  }
}
