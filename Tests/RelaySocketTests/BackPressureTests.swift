import Glibc
import Relay
import Testing
import VoltlaneWire

/// A backend that does not read: clients are not read either, memory stays bounded, and nothing is lost.
@Suite struct BackPressureTests {
  @Test(arguments: Layout.allCases, [40, 3000, 100_000, 1_000_000])
  func `nothing is lost when the backend reads again`(_ layout: Layout, _ size: Int) throws {
    let rig = try Rig(layout) {
      $0.maxPacketSize = 1 << 20
      // Packets that wait for the backend are no unfinished ones: they must not end anybody.
      $0.assemblyBudget = 8 << 20
    }
    let stuffed = try Stuffed.clients(of: rig, count: 4, packet: size)
    let finishers = stuffed.map { stuffed in
      Background {
        try stuffed.client.socket.send(Array(stuffed.rest))
        stuffed.client.socket.finish()
      }
    }
    var next = Dictionary(uniqueKeysWithValues: stuffed.map { ($0.client.id, 0) })
    while next != Dictionary(uniqueKeysWithValues: stuffed.map { ($0.client.id, $0.packets) }) {
      let packet = try rig.firehose.receive()
      let number = try #require(next[packet.id])
      // A client that has sent everything and its FIN may be over before the others are read.
      let hasSentAll = stuffed.contains { $0.client.id == packet.id && $0.packets == number }
      if hasSentAll, packet == .failure(packet.id, "stale timeout") { continue }
      try #require(packet == .data(packet.id, pattern(size, number)))
      next[packet.id] = number + 1
    }
    for finisher in finishers { try finisher.join() }
  }

  /// The way down goes on while the way up is full, and newcomers are let in.
  @Test(arguments: Layout.allCases)
  func `a full way up holds up neither the way down nor newcomers`(_ layout: Layout) throws {
    let rig = try Rig(layout)
    let quiet = try rig.test.client()
    let stuffed = try Stuffed.clients(of: rig, count: 4, packet: 500)
    try rig.firehose.send(.data(quiet.id, [1]), .data(stuffed[0].client.id, [2]))
    #expect(try quiet.receive() == [1])
    #expect(try stuffed[0].client.receive() == [2])
    let newcomers = try (0..<4).map { _ in try rig.test.client() }
    for newcomer in newcomers {
      try rig.firehose.send(.data(newcomer.id, [3]))
      #expect(try newcomer.receive() == [3])
    }
    // A kick is carried out too; its 0x01 waits for room.
    try rig.firehose.send(.kick(stuffed[1].client.id))
    #expect(try stuffed[1].client.socket.receiveToEnd() == ([], .fin))
    let (_, reason) = try rig.firehose.receiveUntilFailure(of: stuffed[1].client.id)
    #expect(reason == "kicked")
  }

  /// In a process of its own, whose memory nobody else uses.
  @Test(arguments: [40, 100_000])
  func `memory stays bounded`(_ size: Int) async {
    await #expect(processExitsWith: .success) { [size = size as Int] in
      let rig = try Rig(.own) { $0.assemblyBudget = 16 << 20 }
      var clients = try (0..<64).map { _ in Stuffed(try rig.test.client(), size) }
      let before = SocketCalls.residentBytes
      try Stuffed.push(&clients)
      let grown = SocketCalls.residentBytes - before
      // Two lanes of 1 MiB, packets by reference within the budget, and as much again for this test and for malloc.
      try #require(grown < 40 << 20, "\(grown) bytes")
    }
  }
}
