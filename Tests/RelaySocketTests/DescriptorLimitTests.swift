import Glibc
import Relay
import Testing

/// At the limit of descriptors. In a process of its own, because the limit is the process's.
@Suite struct DescriptorLimitTests {
  @Test func `accepting pauses, does not spin, and goes on when there is room`() async {
    await #expect(processExitsWith: .success) {
      // Before the relay accepts: the kernel looks at the limit when an accept is queued.
      SocketCalls.limitDescriptors(to: 256)
      for layout in Layout.allCases {
        let rig = try Rig(layout)
        let first = try rig.test.client()
        // Sockets that exist, but are not connected yet: from here on only the relay takes descriptors, the last six
        // that are not kept for the backend.
        let waiting = try (0..<24).map { _ in RawSocket(try SocketCalls.open(rig.test.endpoint)) }
        var fillers: [Int32] = []
        while case let filler = dup(0), filler >= 0 { fillers.append(filler) }
        for filler in fillers.suffix(6 + 16) { close(filler) }
        for socket in waiting { try socket.connect(to: rig.test.endpoint) }
        try #require(rig.test.eventually { rig.relay[.acceptPauses] >= 2 })
        let pauses = rig.relay[.acceptPauses]
        let used = SocketCalls.processorTime
        sleep(2)
        // Of 2 s a spinning relay would use 2; a pause lasts up to a second, longer each time.
        try #require(SocketCalls.processorTime - used < 400_000, "time")
        try #require(rig.relay[.acceptPauses] - pauses < 32)
        var paused = 0
        rig.relay.takeEvents { if case .acceptPaused(errno: EMFILE, count: _) = $0 { paused += 1 } }
        try #require((1...4).contains(paused))
        // Packets of accepted clients are carried.
        try #require(try rig.roundTrip(first))
        // With more clients at the door the backend is lost, and found again.
        rig.firehose.socket.close()
        let again = Rig(rig, firehose: try rig.backend.accept())
        try #require(try again.roundTrip(first))
        for filler in fillers.dropLast(6 + 16) { close(filler) }
        try #require(try again.roundTrip(try again.test.client()))
        withExtendedLifetime(waiting) {}
      }
    }
  }
}
