import Glibc
import Relay
import Testing
import VoltlaneText
import VoltlaneWire

/// Each limit through real sockets: the offender is refused, and a neighbour has its packets carried as before.
@Suite struct ProtectionTests {
  // MARK: Counts and rates

  @Test(arguments: Layout.allCases)
  func `clients of the relay`(_ layout: Layout) throws {
    let scene = try ProtectionScene(layout) { $0.protection.maxClients = 3 }
    let clients = try [scene.client(), scene.client()]
    for _ in 0..<4 { #expect(try scene.refuses(for: .refusedClients)) }
    clients[0].socket.reset()
    #expect(scene.rig.test.eventually { (try? scene.client()) != nil })
  }

  @Test(arguments: Layout.allCases)
  func `clients of an address and of a network`(_ layout: Layout) throws {
    let scene = try ProtectionScene(layout) {
      $0.protection.maxClientsPerAddress = 2
      $0.protection.maxClientsPerPrefix = 3
    }
    let clients = try [scene.client(), scene.client()]
    for _ in 0..<4 { #expect(try scene.refuses(for: .refusedAddressClients)) }
    let beside = try scene.client(from: .besideIt)
    for _ in 0..<4 { #expect(try scene.refuses(.besideIt, for: .refusedPrefixClients)) }
    for client in clients + [beside] { #expect(try scene.rig.roundTrip(client)) }
    _ = try scene.client(from: .neighbour)
  }

  @Test(arguments: Layout.allCases)
  func `new connections of an address`(_ layout: Layout) throws {
    let scene = try ProtectionScene(layout) { $0.protection.acceptRatePerAddress = Rate(3, per: .minute) }
    for _ in 0..<3 { #expect(try scene.rig.roundTrip(scene.client())) }
    for _ in 0..<4 { #expect(try scene.refuses(for: .refusedAddressAcceptRate)) }
    _ = try scene.client(from: .besideIt)
  }

  @Test(arguments: Layout.allCases)
  func `new connections of the relay`(_ layout: Layout) throws {
    let scene = try ProtectionScene(layout) { $0.protection.acceptRate = Rate(3, per: .minute) }
    for _ in 0..<2 { #expect(try scene.rig.roundTrip(scene.client())) }
    for _ in 0..<2 { #expect(try scene.refuses(for: .refusedAcceptRate)) }
  }

  @Test(arguments: Layout.allCases)
  func `handshakes of an address`(_ layout: Layout) throws {
    let scene = try ProtectionScene(layout) { $0.protection.maxPendingHandshakesPerAddress = 2 }
    let silent = try (0..<2).map { _ in try scene.connect() }
    #expect(scene.rig.test.eventually(.clientsAccepted, is: 3))
    for _ in 0..<4 { #expect(try scene.refuses(for: .refusedAddressHandshakes)) }
    _ = try scene.client(from: .besideIt)
    let client = try RawClient(silent[0])
    #expect(try scene.rig.roundTrip(client))
  }

  @Test func `handshakes of a shard`() throws {
    let scene = try ProtectionScene(.shared) { $0.protection.maxPendingHandshakes = 2 }
    let silent = try (0..<4).map { _ in try scene.connect() }
    // The two that were there first have made room for the others.
    #expect(scene.rig.test.eventually(.refusedHandshakes, is: 2))
    for socket in silent[..<2] { #expect(try socket.receiveToEnd().bytes == []) }
    #expect(try scene.admits(.besideIt))
    #expect(scene.rig.test.eventually(.refusedHandshakes, is: 3))
    #expect(try scene.rig.roundTrip(RawClient(silent[3])))
    #expect(try scene.rig.roundTrip(scene.neighbour))
  }

  @Test func `a handshake has its time`() throws {
    let scene = try ProtectionScene(.shared) { $0.protection.handshakeTimeout = .seconds(2) }
    let socket = try scene.connect()
    let (answer, _) = try socket.receiveToEnd()
    #expect(answer == [])
    #expect(scene.rig.test.eventually(.refusedHandshakeTimeout, is: 1))
    #expect(try scene.rig.roundTrip(scene.neighbour))
  }

  /// A client that keeps sending has no more time than a silent one.
  @Test(arguments: Layout.allCases)
  func `a handshake in drops has no more time`(_ layout: Layout) throws {
    let scene = try ProtectionScene(layout) { $0.protection.handshakeTimeout = .seconds(2) }
    let socket = try scene.connect()
    for byte in RawClient.hello {
      guard (try? socket.sendSome([byte])) != nil, socket.end == nil else { break }
      _ = try? socket.takeArrived()
      usleep(100_000)
    }
    _ = try socket.receiveToEnd()
    #expect(scene.rig.test.eventually(.refusedHandshakeTimeout, is: 1))
    #expect(scene.rig.test.eventually(.sessionsStarted, is: 1))
    #expect(try scene.rig.roundTrip(scene.neighbour))
  }

  /// Connects from the offender's address until it is ignored. False where that never comes.
  private func flood(_ scene: ProtectionScene) throws -> Bool {
    try scene.rig.test.eventually {
      for _ in 0..<150 {
        let attempt = try RawSocket(SocketCalls.open(scene.rig.test.endpoint))
        try SocketCalls.bind(attempt.descriptor, .offender)
        try SocketCalls.connect(attempt.descriptor, scene.rig.test.endpoint)
      }
      return scene.rig.relay[.addressesShunned] > 0
    }
  }

  /// What it was refused for may not hold any more: its very first segment is heard.
  @Test func `an ignored address is heard after a reload`() throws {
    let scene = try ProtectionScene(.shared) { $0.protection.maxClientsPerAddress = 1 }
    let before = try scene.client()
    #expect(try flood(scene))
    #expect(
      scene.reconfigure {
        $0.protection.maxClientsPerAddress = 1000
        $0.protection.acceptRatePerAddress = nil
        $0.protection.maxPendingHandshakesPerAddress = nil
      })
    for client in [before, scene.neighbour, before] { #expect(try scene.rig.roundTrip(client)) }
    let client = try scene.client()
    #expect(SocketCalls.retransmissions(client.socket.descriptor) == 0)
    #expect(try scene.rig.roundTrip(client))
  }

  /// A drain that is taken back changes nothing for it.
  @Test func `an ignored address stays ignored where the relay accepts again`() throws {
    let scene = try ProtectionScene(.shared) { $0.protection.maxClientsPerAddress = 1 }
    #expect(try flood(scene))
    scene.rig.relay.stopAccepting()
    try scene.rig.relay.acceptAgain()
    let unheard = try RawSocket(SocketCalls.open(scene.rig.test.endpoint))
    try SocketCalls.bind(unheard.descriptor, .offender)
    try SocketCalls.connect(unheard.descriptor, scene.rig.test.endpoint)
    #expect(!SocketCalls.wait(unheard.descriptor, POLLOUT, milliseconds: 100))
    #expect(try scene.rig.roundTrip(scene.client(from: .besideIt)))
    // For as long as it would have been anyway.
    #expect(SocketCalls.wait(unheard.descriptor, POLLOUT, milliseconds: patience))
  }

  /// Its attempts are dropped by the kernel; its client that is in stays in, and others come in.
  @Test func `a flooding address is ignored for a while`() throws {
    let scene = try ProtectionScene(.shared) { $0.protection.maxClientsPerAddress = 1 }
    let before = try scene.client()
    #expect(try flood(scene))
    let unheard = try RawSocket(SocketCalls.open(scene.rig.test.endpoint))
    try SocketCalls.bind(unheard.descriptor, .offender)
    try SocketCalls.connect(unheard.descriptor, scene.rig.test.endpoint)
    #expect(!SocketCalls.wait(unheard.descriptor, POLLOUT, milliseconds: 100))
    #expect(try scene.rig.roundTrip(before))
    #expect(try scene.rig.roundTrip(scene.neighbour))
    #expect(try scene.rig.roundTrip(scene.client(from: .besideIt)))
    // It is heard again, and TCP tries again: the attempt gets as far as its refusal.
    #expect(SocketCalls.wait(unheard.descriptor, POLLOUT, milliseconds: patience))
    #expect(try unheard.receiveToEnd().bytes == [])
  }

  // MARK: Bans and lists

  @Test(arguments: Layout.allCases)
  func `an address that breaks the protocol often is banned`(_ layout: Layout) throws {
    let scene = try ProtectionScene(layout) { $0.protection.banAfter = Rate(3, per: .minute) }
    let before = try scene.client()
    for _ in 0..<4 {
      let socket = try scene.connect()
      try socket.send(Array("GET / HTTP/1.1\r\n\r\n".utf8))
      _ = try socket.receiveToEnd()
    }
    #expect(scene.rig.test.eventually(.bans, is: 1))
    for _ in 0..<4 { #expect(try scene.refuses(for: .refusedBanned)) }
    // New connections only, of this address only.
    #expect(try scene.rig.roundTrip(before))
    _ = try scene.client(from: .besideIt)
  }

  /// A response that is refused and a packet above the maximum break the protocol as well.
  @Test(arguments: Layout.allCases)
  func `what counts towards a ban`(_ layout: Layout) throws {
    let scene = try ProtectionScene(layout) {
      $0.maxPacketSize = 1000
      $0.protection.banAfter = Rate(2, per: .minute)
      $0.protection.reconnectFailures = nil
    }
    let owner = try scene.client(from: .besideIt)
    let attempt = try Comeback(scene.connect(), owner.id)
    try attempt.socket.send(FramedHandshakePacket.challengeResponse(attempt.challenge.span.bytes).bytes)
    _ = try attempt.socket.receiveToEnd()
    let oversize = try scene.client()
    try oversize.socket.send([0xe9, 0x03, 0, 0])
    #expect(try scene.rig.firehose.receive() == .failure(oversize.id, "packet too large"))
    #expect(scene.rig.relay[.bans] == 0)
    let nonsense = try scene.connect()
    try nonsense.send([1, 0, 0, 0, 9])
    _ = try nonsense.receiveToEnd()
    #expect(scene.rig.test.eventually(.bans, is: 1))
    for _ in 0..<4 { #expect(try scene.refuses(for: .refusedBanned)) }
    #expect(try scene.rig.roundTrip(owner))
  }

  /// Nor do limits, sessions that are over, and connections that are left half-way: many users can share one address.
  @Test(arguments: Layout.allCases)
  func `what does not count towards a ban`(_ layout: Layout) throws {
    let scene = try ProtectionScene(layout) {
      $0.protection.banAfter = Rate(1, per: .minute)
      $0.protection.maxClientsPerAddress = 1
      $0.protection.acceptRatePerAddress = nil
      $0.protection.clientByteRate = Rate(1000, per: .minute)
      $0.protection.ratePolicy = .end
    }
    for _ in 0..<3 {
      try Comeback.name(.max, scene.connect())
      try scene.connect().send(RawClient.version)
      let fast = try scene.rig.test.eventuallyClient { try scene.client() }
      // Another shard may refuse those two only now: how many are refused is not known.
      #expect(throws: SocketFailure.self) { try scene.client() }
      try fast.send(pattern(50_000))
      #expect(try scene.rig.firehose.receiveUntilFailure(of: fast.id).reason == "rate limit")
      fast.socket.close()
    }
    #expect(scene.rig.relay[.refusedAddressClients] >= 3)
    #expect(scene.rig.relay[.bans] == 0)
    #expect(scene.rig.relay[.refusedBanned] == 0)
  }

  @Test func `a ban has an end`() throws {
    let scene = try ProtectionScene(.shared) {
      $0.protection.banAfter = Rate(1, per: .minute)
      $0.protection.banTime = .seconds(1)
    }
    for _ in 0..<2 {
      let socket = try scene.connect()
      try socket.send(Array("GET / HTTP/1.1\r\n\r\n".utf8))
      _ = try socket.receiveToEnd()
    }
    #expect(scene.rig.test.eventually(.bans, is: 1))
    #expect(try scene.rig.test.eventually { try scene.admits() })
    #expect(try scene.rig.roundTrip(scene.neighbour))
  }

  /// As any client that it wants to come back as.
  @Test func `failures of an address`() throws {
    let scene = try ProtectionScene(.shared) {
      $0.staleTimeout = .seconds(60)
      $0.protection.reconnectFailuresPerAddress = Rate(3, per: .minute)
    }
    let owners = try (0..<4).map { _ in try scene.client(from: .besideIt) }
    for owner in owners[..<3] {
      let attempt = try Comeback(scene.connect(), owner.id)
      try attempt.socket.send(FramedHandshakePacket.challengeResponse(attempt.challenge.span.bytes).bytes)
      _ = try attempt.socket.receiveToEnd()
    }
    let socket = try scene.connect()
    try Comeback.name(owners[3].id, socket)
    // Behind the challenge: before it, the end would say that the session is over.
    _ = try Comeback.receiveChallenge(socket)
    #expect(try socket.receiveToEnd() == ([], .fin))
    #expect(scene.rig.test.eventually(.refusedReconnectFailures, is: 1))
    // A new attempt is what is refused: no session, no new client, and nobody elsewhere.
    for owner in owners { #expect(try scene.rig.roundTrip(owner)) }
    #expect(try scene.admits())
    let back = try Comeback(scene.connect(from: .besideIt), owners[0].id).finish()
    #expect(try scene.rig.firehose.receive() == .reconnection(owners[0].id))
    #expect(try scene.rig.roundTrip(back))
    #expect(try scene.rig.roundTrip(scene.neighbour))
  }

  @Test(arguments: Layout.allCases)
  func `failures to come back refuse the one who failed`(_ layout: Layout) throws {
    let scene = try ProtectionScene(layout) {
      $0.staleTimeout = .seconds(60)
      $0.protection.reconnectFailures = Rate(2, per: .minute)
    }
    let owner = try scene.client(from: .besideIt)
    for _ in 0..<2 {
      let attempt = try Comeback(scene.connect(), owner.id)
      try attempt.socket.send(FramedHandshakePacket.challengeResponse(attempt.challenge.span.bytes).bytes)
      _ = try attempt.socket.receiveToEnd()
    }
    for _ in 0..<4 {
      let socket = try scene.connect()
      try Comeback.name(owner.id, socket)
      // Behind the challenge: before it, the end would say that the session is over.
      _ = try Comeback.receiveChallenge(socket)
      #expect(try socket.receiveToEnd() == ([], .fin))
    }
    #expect(scene.rig.test.eventually(.refusedReconnectFailures, is: 4))
    #expect(try scene.rig.roundTrip(owner))
    let back = try Comeback(scene.connect(from: .besideIt), owner.id).finish()
    #expect(try scene.rig.firehose.receive() == .reconnection(owner.id))
    #expect(try scene.rig.roundTrip(back))
    #expect(try scene.rig.roundTrip(scene.neighbour))
  }

  @Test(arguments: Layout.allCases)
  func `lists that deny and allow`(_ layout: Layout) throws {
    let scene = try ProtectionScene(layout) {
      $0.protection.maxClientsPerAddress = 1
      $0.protection.denied = [try! Network("127.0.0.0/24")]
      $0.protection.allowed = [try! Network("127.0.0.3")]
    }
    for _ in 0..<4 { #expect(try scene.refuses(for: .refusedDenied)) }
    for _ in 0..<4 { #expect(try scene.rig.roundTrip(scene.client(from: .besideIt))) }
    #expect(try scene.refuses(.neighbour, for: .refusedAddressClients))
  }

  @Test func `the loopback is exempt unless that is not wanted`() throws {
    let rig = try Rig { $0.protection.maxClientsPerAddress = 1 }
    let clients = try (0..<4).map { _ in try rig.test.client() }
    for client in clients { #expect(try rig.roundTrip(client)) }
  }

  @Test(arguments: Rejection.allCases)
  func `how the refused end`(_ rejection: Rejection) throws {
    let scene = try ProtectionScene(.shared) {
      $0.protection.rejection = rejection
      $0.protection.denied = [try! Network("127.0.0.2")]
    }
    do {
      let socket = try scene.connect()
      switch rejection {
      case .close: #expect(try socket.receiveToEnd() == ([], .fin))
      case .reset: #expect(try socket.receiveToEnd() == ([], .reset(ECONNRESET)))
      // It is told nothing, and finds out at the latest when it asks.
      case .silent: #expect(scene.rig.test.eventually { (try? socket.sendSome([0])) == nil })
      }
    } catch SocketFailure.system("connect", ECONNRESET) where rejection == .reset {
      // The reset was there before the connect had returned.
    }
    #expect(scene.rig.test.eventually(.refusedDenied, is: 1))
    #expect(try scene.rig.roundTrip(scene.neighbour))
  }

  // MARK: Attached clients

  @Test func `a client over its rate is slowed down, and its neighbour is not`() throws {
    let scene = try ProtectionScene(.shared) { $0.protection.clientPacketRate = Rate(2000, per: .second, burst: 100) }
    let client = try scene.client()
    let count = 8000
    try client.socket.send(framed([1], times: count))
    for _ in 0..<count { #expect(try scene.rig.firehose.receive() == .data(client.id, [1])) }
    #expect(scene.rig.relay[.slowedPacketRate] >= 1)
    #expect(try scene.rig.roundTrip(scene.neighbour))
  }

  @Test func `a client over its rate ends where that is wanted`() throws {
    let scene = try ProtectionScene(.shared) {
      $0.protection.clientByteRate = Rate(1000, per: .minute)
      $0.protection.ratePolicy = .end
    }
    let client = try scene.client()
    try client.send(pattern(50_000))
    let (data, reason) = try scene.rig.firehose.receiveUntilFailure(of: client.id)
    #expect(data == [pattern(50_000)])
    #expect(reason == "rate limit")
    #expect(try client.socket.receiveToEnd() == ([], .fin))
    #expect(try scene.rig.roundTrip(scene.neighbour))
  }

  @Test func `a client that sends nothing ends`() throws {
    let scene = try ProtectionScene(.shared) { $0.protection.idleTimeout = .seconds(2) }
    let client = try scene.client()
    // The neighbour talks all the time, and stays.
    var ended = false
    while !ended {
      try scene.neighbour.send([1])
      let packet = try scene.rig.firehose.receive()
      ended = packet == .failure(client.id, "idle timeout")
      #expect(ended || packet == .data(scene.neighbour.id, [1]))
      usleep(50_000)
    }
    #expect(try client.socket.receiveToEnd() == ([], .fin))
    #expect(try scene.rig.firehose.receive() == .data(scene.neighbour.id, [1]))
    #expect(try scene.rig.roundTrip(scene.neighbour))
  }

  @Test(arguments: Layout.allCases)
  func `a client that does not read ends`(_ layout: Layout) throws {
    let scene = try ProtectionScene(layout) {
      $0.clientSendBuffer = 1 << 30
      $0.protection.slowClientTimeout = .seconds(1)
    }
    let slow = try RawClient(
      RawSocket(to: scene.rig.test.endpoint, from: .offender, receiveBuffer: 4096))
    // More than the sockets hold.
    for number in 0..<20 { try scene.rig.firehose.send(.data(slow.id, pattern(500_000, number))) }
    #expect(try scene.rig.firehose.receive() == .failure(slow.id, "slow client"))
    #expect(scene.rig.test.eventually(.endedSlowClient, is: 1))
    #expect(try scene.rig.roundTrip(scene.neighbour))
  }

  @Test(arguments: Layout.allCases)
  func `where memory is short the slowest reader ends`(_ layout: Layout) throws {
    let scene = try ProtectionScene(layout) {
      $0.clientSendBuffer = 1 << 30
      $0.protection.memoryBudget = 16 << 20
      $0.protection.acceptRatePerAddress = nil
      $0.protection.maxClientsPerAddress = nil
      $0.protection.maxClientsPerPrefix = nil
      $0.protection.slowClientTimeout = nil
    }
    let slow = try RawClient(
      RawSocket(to: scene.rig.test.endpoint, from: .offender, receiveBuffer: 4096))
    let packet = Tagged.data(slow.id, pattern(500_000)).bytes
    var others: [RawClient] = []
    while scene.rig.relay[.refusedMemory] == 0, scene.rig.relay[.endedMemory] == 0 {
      try scene.rig.firehose.socket.send(packet)
      #expect(try scene.rig.roundTrip(scene.neighbour))
      if let other = try? scene.client(from: .besideIt) { others.append(other) }
    }
    while scene.rig.relay[.endedMemory] == 0 {
      try scene.rig.firehose.socket.send(packet)
    }
    #expect(try scene.rig.firehose.receive() == .failure(slow.id, "memory"))
    #expect(scene.rig.relay[.refusedMemory] >= 1)
    #expect(scene.rig.test.eventually { (try? scene.client(from: .besideIt)) != nil })
  }

  /// At 85 % of the budget no new client is let in, at 95 % the client that holds most ends.
  @Test(arguments: Layout.allCases)
  func `when memory is short those that hold most end first`(_ layout: Layout) throws {
    let scene = try ProtectionScene(layout) {
      $0.staleTimeout = .seconds(3600)
      $0.clientSendBuffer = 1 << 30
      $0.missedPacketsBuffer = 1 << 30
      $0.missedPacketsTotal = 1 << 30
      $0.protection.memoryBudget = 16 << 20
      $0.protection.acceptRatePerAddress = nil
      $0.protection.slowClientTimeout = nil
    }
    let slow = try RawClient(RawSocket(to: scene.rig.test.endpoint, from: .offender, receiveBuffer: 4096))
    let (small, large) = (try scene.client(from: .besideIt), try scene.client(from: .besideIt))
    for client in [small, large] { client.socket.reset() }
    #expect(scene.rig.test.eventually(.sessionsGoneStale, is: 2))
    let packet = pattern(500_000)
    for _ in 0..<8 { try scene.rig.firehose.send(.data(slow.id, packet)) }
    try scene.rig.firehose.send(.data(small.id, packet))
    var others: [RawClient] = []
    while scene.rig.relay[.refusedMemory] == 0 {
      try #require(scene.rig.relay[.endedMemory] == 0)
      try scene.rig.firehose.send(.data(large.id, packet))
      #expect(try scene.rig.roundTrip(scene.neighbour))
      if let other = try? scene.client(from: .besideIt) { others.append(other) }
    }
    // A client that comes back is let in: it brings nothing new.
    let back = try Comeback(scene.connect(from: .besideIt), small.id).finish()
    #expect(try scene.rig.firehose.receive() == .reconnection(small.id))
    #expect(try back.receive() == packet)
    while scene.rig.relay[.endedMemory] == 0 { try scene.rig.firehose.send(.data(large.id, packet)) }
    #expect(try scene.rig.firehose.receive() == .failure(large.id, "memory"))
    #expect(scene.rig.test.eventually(.sessionsEnded, is: 1))
    for client in try [scene.neighbour, back, scene.client()] + others {
      try client.send([7])
      var came = try scene.rig.firehose.receive()
      // What was on its way by then is answered.
      while came == .failure(large.id, "unknown client") { came = try scene.rig.firehose.receive() }
      #expect(came == .data(client.id, [7]))
      try scene.rig.firehose.send(.data(client.id, [8]))
      #expect(try client.receive() == [8])
    }
  }

  // MARK: Behind a load balancer

  @Test(arguments: Layout.allCases)
  func `limits see the client behind the proxy`(_ layout: Layout) throws {
    let scene = try ProtectionScene(layout) {
      $0.protection.maxClientsPerAddress = 1
      $0.protection.proxies = [try! Network("127.0.0.2")]
    }
    func connect(_ source: String) throws -> RawSocket {
      let socket = try scene.connect()
      try socket.send(Array("PROXY TCP4 \(source) 10.0.0.1 1024 42000\r\n".utf8))
      return socket
    }
    let clients = try ["192.0.2.1", "192.0.2.2", "198.51.100.1"].map { try RawClient(connect($0)) }
    for client in clients { #expect(try scene.rig.roundTrip(client)) }
    let second = try connect("192.0.2.2")
    #expect(try second.receiveToEnd().bytes == [])
    #expect(scene.rig.test.eventually(.refusedAddressClients, is: 1))
    // A client that connects by itself is not believed.
    let liar = try scene.connect(from: .besideIt)
    try liar.send(Array("PROXY TCP4 192.0.2.9 10.0.0.1 1024 42000\r\n".utf8))
    #expect(try liar.receiveToEnd().bytes == [])
    #expect(try scene.rig.roundTrip(scene.neighbour))
  }

  /// With what proxies say besides: here an authority, and a checksum of it all.
  @Test func `version 2 and its checksum`() throws {
    let scene = try ProtectionScene(.shared) {
      $0.protection.denied = [try! Network("192.0.2.8")]
      $0.protection.proxies = [try! Network("127.0.0.2")]
    }
    func header(_ lastByte: UInt8, _ checksum: [UInt8]) -> [UInt8] {
      [0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a, 0x21, 0x11, 0, 29]
        + [192, 0, 2, lastByte, 10, 0, 0, 1, 4, 0, 0xa4, 0x10]
        + [0x02, 0, 7] + Array("example".utf8) + [0x03, 0, 4] + checksum
    }
    let checksum: [UInt8] = [0x90, 0xbf, 0xbf, 0x2e]
    let socket = try scene.connect()
    // In pieces, with the handshake right behind.
    let bytes = header(7, checksum)
    try socket.send(pieces: [Array(bytes[..<5]), Array(bytes[5..<30]), Array(bytes[30...])])
    let client = try RawClient(socket)
    #expect(try scene.rig.roundTrip(client))
    // The same checksum over another address.
    let forged = try scene.connect()
    try forged.send(header(8, checksum))
    #expect(try forged.receiveToEnd().bytes == [])
    #expect(scene.rig.test.eventually(.refusedProxyChecksum, is: 1))
    #expect(try scene.rig.roundTrip(scene.neighbour))
  }

  @Test func `a load balancer on a unix socket`() throws {
    let path = "/tmp/voltlane-proxy-\(getpid()).sock"
    defer { unlink(path) }
    let backend = try RawBackend()
    let test = try TestRelay(
      listeners: [.tcp(host: "127.0.0.1", port: 0), .unix(path: path)], backend: backend.endpoint
    ) {
      $0.protection.trustsUnixProxies = true
      $0.protection.denied = [try! Network("192.0.2.0/24")]
    }
    let rig = Rig(backend: backend, test: test, firehose: try backend.accept())
    func connect(as source: String) throws -> RawSocket {
      let socket = try RawSocket(to: .unix(path: path))
      try socket.send(Array("PROXY TCP4 \(source) 10.0.0.1 1024 42000\r\n".utf8))
      return socket
    }
    let client = try RawClient(connect(as: "198.51.100.1"))
    #expect(try rig.roundTrip(client))
    #expect(try connect(as: "192.0.2.1").receiveToEnd().bytes == [])
    #expect(rig.test.eventually(.refusedDenied, is: 1))
    #expect(try rig.roundTrip(test.client()))
  }

  @Test func `a proxy that sends no header is closed in time`() throws {
    let scene = try ProtectionScene(.shared) { $0.protection.proxies = [try! Network("127.0.0.2")] }
    let silent = try scene.connect()
    let (answer, _) = try silent.receiveToEnd()
    #expect(answer == [])
    #expect(scene.rig.test.eventually(.refusedProxyHeader, is: 1))
    #expect(try scene.rig.roundTrip(scene.neighbour))
  }

  // MARK: Listening sockets

  @Test func `the kernel keeps silent connections to itself`() throws {
    let scene = try ProtectionScene(.shared) { $0.protection.deferAccept = .seconds(30) }
    let silent = try scene.connect()
    #expect(try silent.staysSilent())
    #expect(scene.rig.test.eventually(.clientsAccepted, is: 1))
    let client = try RawClient(silent)
    #expect(try scene.rig.roundTrip(client))
  }

  @Test func `the backlog is as long as was asked for`() throws {
    let test = try TestRelay(backend: .tcp(host: "127.0.0.1", port: 1)) { $0.protection.backlog = 7 }
    guard case .tcp(_, let port) = test.endpoint else { return }
    #expect(try SocketCalls.backlog(port: port) == 7)
  }
}
