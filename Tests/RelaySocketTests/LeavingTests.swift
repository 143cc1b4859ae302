import Glibc
import Relay
import Testing

/// How clients leave: at once, in order, or with only half of the connection.
@Suite struct LeavingTests {
  @Test(arguments: Layout.allCases)
  func `what a client sent before its FIN precedes its end`(_ layout: Layout) throws {
    let rig = try Rig(layout)
    let client = try rig.test.client()
    let packets = (0..<300).map { pattern($0 * 17 % 5000, $0) }
    // The last one never comes whole.
    try client.socket.send(packets.flatMap(framed) + framed(pattern(50)).dropLast())
    client.socket.close()
    let (data, reason) = try rig.firehose.receiveUntilFailure(of: client.id)
    #expect(data == packets)
    #expect(reason == "stale timeout")
    #expect(rig.test.eventually(.sessionsEnded, is: 1))
  }

  /// A FIN may be a half-close: the client still gets its answers, for a while.
  @Test(arguments: Layout.allCases)
  func `a client that has sent its FIN still gets answers, then is over`(_ layout: Layout) throws {
    let rig = try Rig(layout)
    let socket = try rig.test.connect()
    // As a script would: everything and the FIN at once.
    try socket.send(RawClient.hello + framed([1]) + framed([2]))
    socket.finish()
    let id = try RawClient.receiveAnswers(socket)
    #expect(try rig.firehose.receive() == .data(id, [1]))
    #expect(try rig.firehose.receive() == .data(id, [2]))
    #expect(try socket.staysSilent(milliseconds: 300))
    try rig.firehose.send(.data(id, pattern(200_000)), .data(id, []))
    #expect(try Received(bytes: socket.receivePacket()) == pattern(200_000))
    #expect(try socket.receivePacket() == [])
    #expect(rig.relay[.sessionsEnded] == 0)
    // After 5 s it was a full close.
    #expect(try rig.firehose.receive() == .failure(id, "stale timeout"))
    #expect(try socket.receiveToEnd() == ([], .reset(ECONNRESET)))
  }

  @Test func `a half-closed client that is kicked gets its FIN at once`() throws {
    let rig = try Rig()
    let client = try rig.test.client()
    client.socket.finish()
    usleep(50_000)
    try rig.firehose.send(.data(client.id, [1]), .kick(client.id))
    #expect(try rig.firehose.receive() == .failure(client.id, "kicked"))
    #expect(try client.socket.receiveToEnd() == (framed([1]), .fin))
  }

  /// A reset shows that nobody is there; the session does not wait for the time of a half-close, which is an hour here.
  @Test(arguments: Layout.allCases, [0, 100, 5000, 50_000])
  func `a reset after the FIN ends the session at once`(_ layout: Layout, _ pause: Int) throws {
    let rig = try Rig(layout) { $0.halfCloseTimeout = .seconds(3600) }
    for _ in 0..<5 {
      let client = try rig.test.client()
      try client.send([1])
      #expect(try rig.firehose.receive() == .data(client.id, [1]))
      client.socket.finish()
      usleep(UInt32(pause))
      client.socket.reset()
      #expect(try rig.firehose.receive() == .failure(client.id, "stale timeout"))
    }
  }

  /// The same where the relay is busy, so that it finds FIN and reset together.
  @Test(arguments: Layout.allCases)
  func `FINs and resets that are seen together end the sessions at once`(_ layout: Layout) throws {
    let backend = try EchoThread()
    let test = try TestRelay(layout, backend: backend.endpoint) { $0.halfCloseTimeout = .seconds(3600) }
    let busy = try test.client()
    let flood = Background {
      for _ in 0..<40 {
        try busy.send([UInt8](repeating: 0, count: 2_000_000))
        _ = try busy.receive()
      }
    }
    for _ in 0..<4 {
      let clients = try (0..<40).map { _ in try test.client() }
      for client in clients {
        client.socket.finish()
        client.socket.reset()
      }
      for client in clients {
        #expect(try backend.failures(of: client.id) == ["stale timeout"])
      }
    }
    try flood.join()
    backend.stop()
    #expect(backend.violation == nil)
  }

  /// The answer to a client that has closed is met with a reset: then it was no half-close.
  @Test(arguments: Layout.allCases)
  func `an answer to a client that is gone ends its session`(_ layout: Layout) throws {
    let rig = try Rig(layout) { $0.halfCloseTimeout = .seconds(3600) }
    let client = try rig.test.client()
    try client.send([1])
    #expect(try rig.firehose.receive() == .data(client.id, [1]))
    client.socket.close()
    usleep(20_000)
    try rig.firehose.send(.data(client.id, [1]))
    #expect(try rig.firehose.receive() == .failure(client.id, "stale timeout"))
  }

  @Test(arguments: Layout.allCases)
  func `crowds that come and go are each ended once`(_ layout: Layout) throws {
    let rig = try Rig(layout)
    var alive: [UInt64: Int] = [:]
    for round in 0..<20 {
      let clients = try (0..<30).map { _ in try rig.test.client() }
      for (index, client) in clients.enumerated() {
        alive[client.id] = round
        try client.send([UInt8(round), UInt8(index)])
        switch index % 3 {
        case 0: client.socket.reset()
        case 1: client.socket.close()
        default: try rig.firehose.send(.kick(client.id))
        }
      }
    }
    while !alive.isEmpty {
      let packet = try rig.firehose.receive()
      // Kicks and the client's own end may cross.
      if packet.flag == 1, packet.data != Array("unknown client".utf8) {
        #expect(alive.removeValue(forKey: packet.id) != nil)
      }
    }
    #expect(rig.test.eventually(.sessionsStarted, is: 600))
    #expect(rig.test.eventually(.sessionsEnded, is: 600))
  }
}
