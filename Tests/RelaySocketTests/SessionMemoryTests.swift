import Glibc
import Relay
import Testing

/// What sessions take of memory, stale and connected, measured on a process of its own: its memory is the relay's, and
/// the allocator's. The connections' memory in the kernel is not in it.
@Suite struct SessionMemoryTests {
  /// Resident bytes that each of `count` sessions takes, which `makeSessions` makes.
  private static func bytesEach(of count: Int, _ makeSessions: () throws -> Void) rethrows -> Int {
    SocketCalls.trimMemory()
    let before = SocketCalls.residentBytes
    try makeSessions()
    SocketCalls.trimMemory()
    return (SocketCalls.residentBytes - before) / count
  }

  @Test(arguments: Layout.allCases)
  func `a stale session takes less than 256 bytes, with the key of a client that came back as well`(_ layout: Layout)
    async
  {
    await #expect(processExitsWith: .success) { [layout] in
      let rig = try ReconnectionTests.rig(layout)
      var stale: UInt64 = 0
      func leave(_ count: Int, after comingBack: Bool) throws {
        for _ in 0..<count {
          let client = try rig.test.client()
          client.socket.reset()
          stale += 1
          guard comingBack else { continue }
          try rig.test.comeBack(client.id).socket.reset()
          try #require(try rig.firehose.receive() == .reconnection(client.id))
        }
        try #require(rig.test.eventually { rig.relay[.sessionsGoneStale] - rig.relay[.reconnections] == stale })
      }
      // What the first ones warm up is nobody's.
      try leave(500, after: true)
      let new = try Self.bytesEach(of: 10_000) { try leave(10_000, after: false) }
      let returned = try Self.bytesEach(of: 10_000) { try leave(10_000, after: true) }
      try #require(rig.relay[.sessionsEnded] == 0)
      try #require(new < 256 && returned < 256, "\(new) and \(returned) bytes")
    }
  }

  @Test(arguments: Layout.allCases)
  func `an idle client takes less than 512 bytes`(_ layout: Layout) async {
    await #expect(processExitsWith: .success) { [layout] in
      let rig = try ReconnectionTests.rig(layout)
      var descriptors: [Int32] = []
      func connect(_ count: Int) throws {
        for _ in 0..<count {
          // Of the client's side no more than a descriptor stays.
          let client = try rig.test.client()
          withExtendedLifetime(client) { descriptors.append(dup(client.socket.descriptor)) }
        }
        try #require(rig.test.eventually(.sessionsStarted, is: UInt64(descriptors.count)))
      }
      descriptors.reserveCapacity(5000)
      try connect(500)
      let idle = try Self.bytesEach(of: 4000) { try connect(4000) }
      try #require(rig.relay[.sessionsGoneStale] == 0, "all are connected")
      try #require(idle < 512, "\(idle) bytes")
    }
  }
}
