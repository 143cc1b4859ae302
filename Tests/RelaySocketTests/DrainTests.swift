import Glibc
import Relay
import Testing
import VoltlaneWire

/// The relay's end: in order, or at once.
@Suite struct DrainTests {
  @Test(arguments: Layout.allCases)
  func `everything queued either way is handed over`(_ layout: Layout) throws {
    let rig = try Rig(layout) { $0.clientSendBuffer = 16 << 20 }
    let clients = try (0..<12).map { _ in try rig.test.client(receiveBuffer: 8192) }
    let shaking = try rig.test.connect()
    try shaking.send(RawClient.version)
    #expect(try shaking.receive(RawClient.relayKey.count) == RawClient.relayKey)
    let silent = try rig.test.connect()

    let down = (0..<20).map { pattern(30_000, $0) }
    for client in clients { for packet in down { try rig.firehose.send(.data(client.id, packet)) } }
    let up = (0..<20).map { pattern(10_000, $0) }
    for client in clients { for packet in up { try client.send(packet) } }
    // One has begun a packet that it never ends.
    try clients[0].socket.send([99, 0, 0, 0, 1])
    // What was sent down must have reached the relay: it is behind the last packet here.
    #expect(rig.test.eventually(.packetsDown, is: 240))
    rig.relay.drain()

    try rig.expectEnds(of: clients, up: up, down: down)
    #expect(try shaking.receiveToEnd() == ([], .fin))
    shaking.close()
    _ = try silent.receiveToEnd()
    #expect(throws: SocketFailure.self) { try rig.test.connect() }
    // The relay says its end last, and waits for the backend's.
    #expect(try rig.firehose.socket.receiveToEnd() == ([], .fin))
    rig.firehose.socket.close()
    #expect(rig.test.finishes())
  }

  @Test(arguments: Layout.allCases)
  func `with nobody there it ends at once`(_ layout: Layout) throws {
    let rig = try Rig(layout)
    rig.relay.drain()
    #expect(try rig.firehose.socket.receiveToEnd() == ([], .fin))
    rig.firehose.socket.close()
    #expect(rig.test.finishes())
    #expect(SocketCalls.wait(rig.relay.signal, POLLIN, milliseconds: patience))
  }

  /// A client that never stops sending, and one that never closes, hold the end up for their time and no longer.
  @Test(arguments: Layout.allCases)
  func `clients that go on are cut off`(_ layout: Layout) throws {
    let rig = try Rig(layout)
    let stubborn = try rig.test.client()
    let busy = try rig.test.client()
    let sender = Background {
      while (try? busy.socket.send(framed(pattern(1000)))) != nil {}
    }
    #expect(try rig.firehose.receive().id == busy.id)
    rig.relay.drain()
    var ended = Set<UInt64>()
    while ended.count < 2 {
      let packet = try rig.firehose.receive()
      if packet.flag == 1 {
        #expect(packet == .failure(packet.id, "relay draining"))
        ended.insert(packet.id)
      } else {
        #expect(!ended.contains(packet.id))
      }
    }
    #expect(try rig.firehose.socket.receiveToEnd() == ([], .fin))
    rig.firehose.socket.close()
    #expect(rig.test.finishes())
    #expect(try stubborn.socket.receiveToEnd().bytes == [])
    try sender.join()
  }

  /// Its packets are still in the shards' hands when the firehose says its end and reads on.
  @Test(arguments: Layout.allCases)
  func `a backend that goes on sending changes no packet`(_ layout: Layout) throws {
    let rig = try Rig(layout) { $0.clientSendBuffer = 64 << 20 }
    let clients = try (0..<4).map { _ in try rig.test.client() }
    let packets = (0..<400).map { [UInt8](repeating: UInt8($0 % 251), count: 300) }
    let burst = packets.enumerated().flatMap { Tagged.data(clients[$0.offset % 4].id, $0.element).bytes }
    let sender = Background {
      // More than the relay reads before it ends the sessions.
      for _ in 0..<60 where (try? rig.firehose.socket.send(burst)) == nil { return }
    }
    let readers = clients.enumerated().map { number, client in
      Background {
        let (bytes, _) = try client.socket.receiveToEnd()
        // One burst after the other.
        let expected = stride(from: number, to: 400, by: 4).flatMap { framed(packets[$0]) }
        for start in stride(from: 0, to: bytes.count, by: expected.count) {
          let part = bytes[start..<min(start + expected.count, bytes.count)]
          guard part.elementsEqual(expected.prefix(part.count)) else {
            throw SocketFailure.timeout("packets as the backend sent them")
          }
        }
        client.socket.close()
      }
    }
    #expect(rig.test.eventually { rig.test.relay[.packetsDown] > 2000 })
    rig.relay.drain()
    _ = try rig.firehose.socket.receiveToEnd()
    for reader in readers { try reader.join() }
    try sender.join()
    rig.firehose.socket.close()
    #expect(rig.test.finishes())
  }

  /// What clients had sent is read to the last byte also where the backend is slow to take it.
  @Test(arguments: Layout.allCases)
  func `a slow backend still gets everything`(_ layout: Layout) throws {
    let rig = try Rig(layout)
    let stuffed = try Stuffed.clients(of: rig, count: 1, packet: 1000)[0]
    rig.relay.drain()
    // Longer than a client that never stops is read.
    usleep(1_500_000)
    let (data, reason) = try rig.firehose.receiveUntilFailure(of: stuffed.client.id)
    // All but what the client's own kernel may still hold, 64 KiB: nobody can tell that this is on its way. The relay's
    // socket alone holds twice as much.
    #expect(data.count > stuffed.packets - 100)
    #expect(data.enumerated().allSatisfy { $0.element == pattern(1000, $0.offset) })
    #expect(reason == "relay draining")
  }

  @Test(arguments: Layout.allCases)
  func `the backend may come only then`(_ layout: Layout) throws {
    let backend = try RawBackend(isListening: false)
    let test = try TestRelay(layout, backend: backend.endpoint)
    let client = try test.client()
    try client.send([1])
    test.relay.drain()
    #expect(try client.socket.receiveToEnd() == ([], .fin))
    client.socket.close()
    #expect(!test.relay.isFinished)
    backend.listen()
    let firehose = try backend.accept()
    #expect(try firehose.receive() == .data(client.id, [1]))
    #expect(try firehose.receive() == .failure(client.id, "relay draining"))
    #expect(try firehose.socket.receiveToEnd() == ([], .fin))
    firehose.socket.close()
    #expect(test.finishes())
  }

  /// Nothing is waited for, and nothing is left: no descriptor, no listener.
  @Test func `a stop is at once and leaves nothing open`() async {
    await #expect(processExitsWith: .success) {
      // The first round opens what the process keeps for itself.
      var before: Int?
      for layout in [.shared] + Layout.allCases {
        do {
          let path = "/tmp/voltlane-stop-\(getpid()).sock"
          let backend = try RawBackend()
          let test = try TestRelay(
            layout, listeners: [.tcp(host: "127.0.0.1", port: 0), .unix(path: path)], backend: backend.endpoint)
          let firehose = try backend.accept()
          let clients = try (0..<20).map { _ in try test.client() }
          let shaking = try test.connect()
          try clients[0].send(pattern(1000))
          test.relay.stop()
          for client in clients { _ = try client.socket.receiveToEnd() }
          _ = try shaking.receiveToEnd()
          _ = try? firehose.socket.receiveToEnd()
          try #require((try? test.connect()) == nil)
          try #require(access(path, F_OK) != 0)
        }
        // The kernel takes a ring down a little later.
        if let before {
          var waits = 0
          while openDescriptors() > before, waits < patience {
            usleep(1000)
            waits += 1
          }
          try #require(openDescriptors() == before)
        } else {
          usleep(500_000)
          before = openDescriptors()
        }
      }
    }
  }
}

/// Sockets of this process, and what its threads wait with. Not all descriptors: the test library opens some of its own
/// when it likes.
private func openDescriptors() -> Int {
  (0..<1024).count { descriptor in
    var target = [CChar](repeating: 0, count: 64)
    guard readlink("/proc/self/fd/\(descriptor)", &target, target.count - 1) > 0 else { return false }
    let name = String(decoding: target.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    return name.hasPrefix("socket:") || name.contains("io_uring") || name.contains("eventpoll")
  }
}
