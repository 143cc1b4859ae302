import Glibc
import Relay
import Testing

/// Clients that make the relay hold what is sent to them, and clients that merely send faster than they read, with the
/// default settings.
@Suite struct HoardingTests {
  /// A client reads nothing, and comes back for each packet of the largest size. It used to hold a GiB after 129
  /// rounds, and the relay trapped.
  @Test(arguments: Layout.allCases)
  func `a client that comes back without reading ends soon, and nobody notices`(_ layout: Layout) throws {
    let rig = try ReconnectionTests.rig(layout)
    let neighbour = try rig.test.client()
    var hoarder = try rig.test.client(receiveBuffer: 4096)
    let packet = pattern(8_388_599)
    var rounds = 0
    while rig.relay[.endedBufferOverflow] == 0, rounds < 20 {
      rounds += 1
      try rig.firehose.send(.data(hoarder.id, packet))
      // Behind it: the neighbour's packet is answered when the hoarder's has been taken.
      try rig.firehose.send(.data(neighbour.id, [1]))
      #expect(try neighbour.receive() == [1])
      // Where its session is over it cannot come back, whether or not that has been counted yet.
      guard let back = try? rig.test.comeBack(hoarder.id, receiveBuffer: 4096) else { break }
      #expect(try rig.firehose.receive() == .reconnection(hoarder.id))
      hoarder = back
    }
    #expect(try rig.firehose.receive() == .failure(hoarder.id, "buffer overflow"))
    // Two send buffers and two packets are four of these, and a socket's buffer takes less than one.
    #expect(rounds <= 6)
    #expect(rig.test.eventually(.endedBufferOverflow, is: 1))
    #expect(rig.relay[.sessionsEnded] == 1)
    #expect(try rig.roundTrip(neighbour))
  }

  /// The field's clients send thousands of requests before they read the first answer.
  @Test(arguments: Layout.allCases)
  func `four thousand echoes are sent before the first is read`(_ layout: Layout) throws {
    let echo = try EchoThread()
    defer { echo.stop() }
    let test = try TestRelay(layout, backend: echo.endpoint)
    let client = try test.client()
    for number in 0..<4000 { try client.send(pattern(1024, number)) }
    for number in 0..<4000 { #expect(try client.receive() == pattern(1024, number)) }
    #expect(test.relay[.sessionsEnded] == 0)
    #expect(echo.violation == nil)
  }

  /// Clients with small windows read most of what is sent to them and are gone: what their sessions cost is what they
  /// missed, not the memory in which it once was. Looked up at the allocator, in a process of its own.
  @Test(arguments: Layout.allCases)
  func `a stale session costs what it missed, whatever was read before`(_ layout: Layout) async {
    await #expect(processExitsWith: .success) { [layout] in
      let rig = try ReconnectionTests.rig(layout) { $0.missedPacketsTotal = 1 << 30 }
      let packet = pattern(10_000)
      let (packets, read) = (108, 90)
      var stale: UInt64 = 0
      func leave(_ count: Int) throws {
        for _ in 0..<count {
          let client = try rig.test.client(receiveBuffer: 4096)
          let sending = Background { try rig.firehose.socket.send(framed(packets, of: packet, to: client.id)) }
          for _ in 0..<read { _ = try client.receive() }
          try sending.join()
          try #require(rig.test.eventually { rig.relay[.packetsDown] == (stale + 1) * UInt64(packets) })
          client.socket.reset()
          stale += 1
          try #require(rig.test.eventually(.sessionsGoneStale, is: stale))
        }
      }
      try leave(5)
      let before = SocketCalls.allocatedBytes
      try leave(20)
      let each = (SocketCalls.allocatedBytes - before) / 20
      // What the kernel had taken is no longer the relay's.
      let missed = (packets - read) * 10_004
      try #require(each < missed + 4096, "\(each) bytes for at most \(missed) that were missed")
    }
  }
}

/// A packet of the backend's for a client, several times.
private func framed(_ count: Int, of data: [UInt8], to id: UInt64) -> [UInt8] {
  Array(repeating: Tagged.data(id, data).bytes, count: count).flatMap { $0 }
}
