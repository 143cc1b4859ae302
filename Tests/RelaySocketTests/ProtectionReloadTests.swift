import Relay
import Testing

/// Limits that change in a running relay: they hold at once, on all its threads, and nobody is dropped for it.
@Suite struct ProtectionReloadTests {
  @Test(arguments: Layout.allCases)
  func `clients of an address`(_ layout: Layout) throws {
    let scene = try ProtectionScene(layout) { $0.protection.maxClientsPerAddress = 2 }
    var clients = try [scene.client(), scene.client()]
    for _ in 0..<4 { #expect(try scene.refuses(for: .refusedAddressClients)) }
    #expect(scene.reconfigure { $0.protection.maxClientsPerAddress = 3 })
    clients.append(try scene.client())
    for _ in 0..<4 { #expect(try scene.refuses(for: .refusedAddressClients)) }
    #expect(scene.reconfigure { $0.protection.maxClientsPerAddress = 1 })
    for _ in 0..<4 { #expect(try scene.refuses(for: .refusedAddressClients)) }
    for client in clients { #expect(try scene.rig.roundTrip(client)) }
    // Clients that were counted while there was no limit count towards the next one.
    #expect(scene.reconfigure { $0.protection.maxClientsPerAddress = nil })
    clients.append(try scene.client())
    #expect(scene.reconfigure { $0.protection.maxClientsPerAddress = 4 })
    for _ in 0..<4 { #expect(try scene.refuses(for: .refusedAddressClients)) }
    for client in clients { #expect(try scene.rig.roundTrip(client)) }
    #expect(scene.rig.relay[.sessionsEnded] == 0)
  }

  @Test(arguments: Layout.allCases)
  func `clients of the relay and of a network`(_ layout: Layout) throws {
    let scene = try ProtectionScene(layout) { _ in }
    let client = try scene.client()
    #expect(scene.reconfigure { $0.protection.maxClients = 2 })
    for _ in 0..<4 { #expect(try scene.refuses(for: .refusedClients)) }
    #expect(
      scene.reconfigure {
        $0.protection.maxClients = nil
        $0.protection.maxClientsPerPrefix = 1
      })
    for _ in 0..<4 { #expect(try scene.refuses(.besideIt, for: .refusedPrefixClients)) }
    #expect(try scene.rig.roundTrip(client))
  }

  @Test(arguments: Layout.allCases)
  func `lists`(_ layout: Layout) throws {
    let scene = try ProtectionScene(layout) { _ in }
    let client = try scene.client()
    #expect(scene.reconfigure { $0.protection.denied = [try! Network("127.0.0.0/24")] })
    for _ in 0..<4 { #expect(try scene.refuses(for: .refusedDenied)) }
    #expect(try scene.rig.roundTrip(client))
    #expect(scene.reconfigure { $0.protection.allowed = [try! Network("127.0.0.2")] })
    for _ in 0..<4 { #expect(try scene.admits()) }
    for _ in 0..<4 { #expect(try scene.refuses(.besideIt, for: .refusedDenied)) }
    #expect(
      scene.reconfigure {
        $0.protection.denied = []
        $0.protection.proxies = [try! Network("127.0.0.3")]
      })
    for _ in 0..<4 {
      let socket = try scene.connect(from: .besideIt)
      try socket.send(Array("PROXY TCP4 192.0.2.1 10.0.0.1 1024 42000\r\n".utf8))
      #expect(try scene.rig.roundTrip(RawClient(socket)))
    }
    #expect(try scene.rig.roundTrip(client))
  }

  /// Whoever is in the handshake when the list changes is not served either.
  @Test(arguments: Layout.allCases)
  func `a handshake that has begun`(_ layout: Layout) throws {
    let scene = try ProtectionScene(layout) { _ in }
    let (offender, other) = (try scene.connect(), try scene.connect(from: .neighbour))
    for socket in [offender, other] {
      try socket.send(RawClient.version)
      #expect(try socket.receive(RawClient.relayKey.count) == RawClient.relayKey)
    }
    #expect(scene.reconfigure { $0.protection.denied = [try! Network("127.0.0.0/24")] })
    let before = scene.rig.relay[.refusedDenied]
    try offender.send(RawClient.key)
    #expect(try offender.receiveToEnd().bytes == [])
    #expect(scene.rig.test.eventually(.refusedDenied, is: before + 1))
    try other.send(RawClient.key)
    _ = try RawClient.receiveID(other)
  }

  /// Nor does a client come back from there.
  @Test(arguments: Layout.allCases)
  func `a reconnection that has begun`(_ layout: Layout) throws {
    let scene = try ProtectionScene(layout) { _ in }
    let client = try scene.client()
    let comeback = try Comeback(scene.connect(), client.id)
    #expect(scene.reconfigure { $0.protection.denied = [try! Network("127.0.0.0/24")] })
    let before = scene.rig.relay[.refusedDenied]
    try comeback.answer()
    #expect(scene.rig.test.eventually(.refusedDenied, is: before + 1))
    #expect(try scene.rig.roundTrip(client))
  }

  /// An address that has used up a slow rate does not have to wait by that rate until it may use a faster one.
  @Test(arguments: Layout.allCases)
  func `new connections`(_ layout: Layout) throws {
    let scene = try ProtectionScene(layout) {
      $0.protection.acceptRate = Rate(1, per: .minute, burst: 11)
      $0.protection.acceptRatePerAddress = Rate(1, per: .minute, burst: 10)
    }
    for _ in 0..<10 { #expect(try scene.admits()) }
    for _ in 0..<2 { #expect(try scene.refuses(for: .refusedAddressAcceptRate)) }
    #expect(try scene.refuses(.besideIt, for: .refusedAcceptRate))
    #expect(
      scene.reconfigure {
        $0.protection.acceptRate = Rate(1000, per: .second)
        $0.protection.acceptRatePerAddress = Rate(1000, per: .second)
      })
    #expect(try scene.rig.test.eventually { try scene.admits() })
    #expect(try scene.rig.test.eventually { try scene.admits(.besideIt) })
  }

  @Test(arguments: Layout.allCases)
  func `what clients may send`(_ layout: Layout) throws {
    let scene = try ProtectionScene(layout) { $0.protection.clientPacketRate = Rate(1, per: .minute) }
    let client = try scene.client()
    try client.socket.send(framed([1], times: 1000))
    #expect(scene.rig.test.eventually { scene.rig.relay[.slowedPacketRate] >= 1 })
    // It would have to wait for a thousand minutes.
    #expect(scene.reconfigure { $0.protection.clientPacketRate = Rate(100_000, per: .second) })
    for _ in 0..<1000 { #expect(try scene.rig.firehose.receive() == .data(client.id, [1])) }
    #expect(try scene.rig.roundTrip(client))
    #expect(
      scene.reconfigure {
        $0.protection.clientByteRate = Rate(1000, per: .minute)
        $0.protection.ratePolicy = .end
      })
    try client.send(pattern(50_000))
    #expect(try scene.rig.firehose.receiveUntilFailure(of: client.id).reason == "rate limit")
    #expect(try scene.rig.roundTrip(scene.neighbour))
  }

  /// Also for clients that came before there was one.
  @Test(arguments: Layout.allCases)
  func `the time to be silent for`(_ layout: Layout) throws {
    let scene = try ProtectionScene(layout) { _ in }
    let client = try scene.client()
    #expect(scene.reconfigure { $0.protection.idleTimeout = .seconds(2) })
    var ended = false
    while !ended {
      try scene.neighbour.send([1])
      let packet = try scene.rig.firehose.receive()
      ended = packet == .failure(client.id, "idle timeout")
      #expect(ended || packet == .data(scene.neighbour.id, [1]))
    }
    #expect(try scene.rig.firehose.receive() == .data(scene.neighbour.id, [1]))
    #expect(try scene.rig.roundTrip(scene.neighbour))
  }

  /// Also for clients that came before there was one.
  @Test(arguments: Layout.allCases)
  func `the time to shake hands in`(_ layout: Layout) throws {
    let scene = try ProtectionScene(layout) { $0.protection.handshakeTimeout = nil }
    let silent = try (0..<4).map { _ in try scene.connect() }
    #expect(scene.rig.test.eventually(.clientsAccepted, is: 5))
    #expect(scene.reconfigure { $0.protection.handshakeTimeout = .milliseconds(300) })
    for socket in silent { #expect(try socket.receiveToEnd().bytes == []) }
    #expect(scene.rig.test.eventually(.refusedHandshakeTimeout, is: 4))
    #expect(try scene.rig.roundTrip(scene.neighbour))
  }

  @Test(arguments: Layout.allCases)
  func `bans`(_ layout: Layout) throws {
    let scene = try ProtectionScene(layout) { $0.protection.banAfter = nil }
    func offend() throws {
      let socket = try scene.connect()
      try socket.send(Array("GET / HTTP/1.1\r\n\r\n".utf8))
      _ = try socket.receiveToEnd()
    }
    for _ in 0..<8 { try offend() }
    #expect(scene.rig.relay[.bans] == 0)
    #expect(scene.reconfigure { $0.protection.banAfter = Rate(2, per: .minute) })
    for _ in 0..<3 { try offend() }
    #expect(scene.rig.test.eventually(.bans, is: 1))
    for _ in 0..<4 { #expect(try scene.refuses(for: .refusedBanned)) }
    // A list ends what a ban would keep up.
    #expect(scene.reconfigure { $0.protection.allowed = [try! Network("127.0.0.2")] })
    #expect(try scene.admits())
  }

  @Test(arguments: Layout.allCases)
  func `memory`(_ layout: Layout) throws {
    let scene = try ProtectionScene(layout) { _ in }
    #expect(scene.reconfigure { $0.protection.memoryBudget = 9000 })
    for number in 1...4 as ClosedRange<UInt64> {
      #expect(try !scene.admits())
      #expect(scene.rig.relay[.refusedMemory] == number)
    }
    #expect(scene.reconfigure { $0.protection.memoryBudget = 1 << 30 })
    #expect(try scene.admits())
    #expect(scene.rig.relay[.sessionsEnded] == 0)
  }

  @Test func `what listening sockets were given stays`() throws {
    let scene = try ProtectionScene(.shared) { $0.protection.backlog = 7 }
    #expect(
      scene.reconfigure {
        $0.protection.backlog = 8
        $0.protection.deferAccept = .seconds(1)
      })
    #expect(scene.rig.relay.configuration.protection.backlog == 7)
    #expect(scene.rig.relay.configuration.protection.deferAccept == nil)
  }
}
