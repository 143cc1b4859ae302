import Glibc
import Relay
import Testing

/// Clients that do not read: each is bounded, and none holds up another.
@Suite struct SlowClientTests {
  @Test(arguments: Layout.allCases)
  func `a client that never reads ends, and the others notice nothing`(_ layout: Layout) throws {
    let rig = try Rig(layout) { $0.clientSendBuffer = 300_000 }
    let other = try rig.test.client()
    let client = try rig.test.client(receiveBuffer: 4096)
    let packet = Tagged.data(client.id, pattern(50_000)).bytes
    var failure: Tagged?
    // What kernel and relay hold is far less than these 50 MB.
    for number in 0..<1000 where failure == nil {
      try rig.firehose.socket.send(packet)
      try other.send(pattern(100, number))
      var came = try rig.firehose.receive()
      while came.id == client.id {
        // What was on its way when the session ended is answered behind it.
        #expect(failure == nil || came == .failure(client.id, "unknown client"))
        failure = failure ?? came
        came = try rig.firehose.receive()
      }
      #expect(came == .data(other.id, pattern(100, number)))
      try rig.firehose.send(.data(other.id, pattern(100, number)))
      #expect(try other.receive() == pattern(100, number))
    }
    #expect(failure == .failure(client.id, "buffer overflow"))
    // What was queued still arrives, whole packets and a FIN behind them.
    let (bytes, end) = try client.socket.receiveToEnd()
    #expect(end == .fin)
    #expect(bytes.count.isMultiple(of: 50_004))
    #expect(bytes.count >= 300_000)
    #expect(Received(bytes: bytes) == (0..<(bytes.count / 50_004)).flatMap { _ in framed(pattern(50_000)) })
  }

  /// A packet is taken while less than the limit waits: one of legal size always fits, whatever the limit.
  @Test(arguments: Layout.allCases)
  func `one packet of legal size always fits`(_ layout: Layout) throws {
    let rig = try Rig(layout) { $0.clientSendBuffer = 1 }
    let client = try rig.test.client(receiveBuffer: 4096)
    let most = 8_388_599
    try rig.firehose.send(.data(client.id, pattern(most)))
    #expect(try rig.firehose.socket.staysSilent(milliseconds: 300))
    #expect(rig.relay[.sessionsEnded] == 0)
    let next = Background { try rig.firehose.send(.data(client.id, [1])) }
    #expect(try rig.firehose.receive() == .failure(client.id, "buffer overflow"))
    try next.join()
    // The one that was taken is delivered.
    #expect(try client.receive() == pattern(most))
    #expect(try client.socket.receiveToEnd() == ([], .fin))
  }

  /// A count of packets without data escapes no limit: each counts 4.
  @Test func `empty packets count too`() throws {
    // Over a unix socket, whose kernel holds little.
    let path = "/tmp/voltlane-empty-\(getpid()).sock"
    let backend = try RawBackend()
    let test = try TestRelay(listeners: [.unix(path: path)], backend: backend.endpoint) {
      $0.clientSendBuffer = 100_000
    }
    let firehose = try backend.accept()
    let client = try test.client()
    let empty = (0..<10_000).flatMap { _ in Tagged.data(client.id, []).bytes }
    let sender = Background {
      while !SocketCalls.wait(firehose.socket.descriptor, POLLIN, milliseconds: 0) {
        try firehose.socket.send(empty)
      }
    }
    #expect(try firehose.receive() == .failure(client.id, "buffer overflow"))
    try sender.join()
  }

  /// Reading again before the limit is reached makes everything good.
  @Test(arguments: Layout.allCases)
  func `a client that pauses loses nothing`(_ layout: Layout) throws {
    let rig = try Rig(layout) { $0.clientSendBuffer = 16 << 20 }
    let client = try rig.test.client(receiveBuffer: 4096)
    var random = Random(5)
    for round in 0..<3 {
      let packets = (0..<400).map { pattern(random.below(20) == 0 ? 90_000 : random.below(9000), $0 + round) }
      try rig.firehose.socket.send(packets.flatMap { Tagged.data(client.id, $0).bytes })
      for packet in packets { #expect(try client.receive() == packet) }
    }
  }

  /// Closing takes 5 s at most: then the client that does not read even that is reset.
  @Test func `a client that does not even read its end is reset`() throws {
    let rig = try Rig { $0.clientSendBuffer = 8 << 20 }
    let other = try rig.test.client()
    let client = try rig.test.client(receiveBuffer: 4096)
    for _ in 0..<60 { try rig.firehose.send(.data(client.id, pattern(100_000))) }
    try rig.firehose.send(.kick(client.id))
    #expect(try rig.firehose.receive() == .failure(client.id, "kicked"))
    #expect(try rig.roundTrip(other))
    #expect(rig.test.eventually { SocketCalls.option(client.socket.descriptor, SOL_SOCKET, SO_ERROR) == ECONNRESET })
  }

  /// Two clients flood through an echo; others have their turn all the same.
  @Test(arguments: Layout.allCases)
  func `floods leave others their turn`(_ layout: Layout) throws {
    let backend = try EchoThread()
    let test = try TestRelay(layout, backend: backend.endpoint)
    let client = try test.client()
    let floods = try (0..<2).map { _ in
      let flooder = try test.client()
      return Background {
        var taken = 0
        for number in 0..<400 {
          try flooder.socket.send(framed(pattern(20_000, number)))
          taken += try flooder.socket.takeArrived().count
        }
        _ = try flooder.socket.receive(400 * 20_004 - taken)
      }
    }
    var trips = 0
    while trips < 50 || floods.contains(where: { !$0.isDone }) {
      try client.send([UInt8(truncatingIfNeeded: trips)])
      #expect(try client.receive() == [UInt8(truncatingIfNeeded: trips)])
      trips += 1
    }
    for flood in floods { try flood.join() }
    backend.stop()
    #expect(backend.violation == nil)
  }
}
