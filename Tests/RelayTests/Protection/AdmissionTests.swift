import Glibc
import Testing
import VoltlaneWire

@testable import Relay

/// Which clients get in, over a scripted kernel: the offender is refused, everybody else is not.
@Suite struct AdmissionTests {
  static let offender = ClientAddress(v4: 0x0a00_0001)
  static let neighbour = ClientAddress(v4: 0x0a00_0002)
  static let stranger = ClientAddress(v4: 0x0b00_0001)

  private func scene(
    shards: Int = 2, _ configure: (inout ProtectionConfiguration) -> Void
  ) throws -> SessionScene {
    try SessionScene(shards: shards) { configure(&$0.protection) }
  }

  /// Whether a connection from `address` is let in; it stays as it is then, having said nothing.
  private func isLetIn(_ scene: SessionScene, _ address: ClientAddress, shard: Int = 0) -> SimulatedSocket? {
    let socket = scene.simulation.connect(shard: shard, address: address)
    scene.simulation.settle(for: 0)
    #expect(socket.outgoing.isEmpty)
    return socket.relayClosed ? nil : socket
  }

  private func breakProtocol(_ scene: SessionScene, _ address: ClientAddress, shard: Int = 0) {
    let socket = scene.simulation.connect(shard: shard, address: address)
    scene.simulation.write([1, 0, 0, 0, 9], to: socket)
    scene.simulation.settle(for: 0)
    #expect(socket.relayClosed)
  }

  // MARK: Counts

  @Test func clientsOfTheRelay() throws {
    let scene = try scene { $0.maxClients = 3 }
    let members = [scene.join(shard: 0), scene.join(shard: 1), scene.join(shard: 0)]
    for shard in 0...1 { #expect(isLetIn(scene, Self.stranger, shard: shard) == nil) }
    #expect(scene.simulation[.refusedClients] == 2)
    #expect(scene.simulation[.clientsRefused] == 2)
    scene.simulation.reset(members[1].socket)
    scene.simulation.settle()
    _ = scene.join(shard: 0)
    #expect(isLetIn(scene, Self.stranger, shard: 1) == nil)
  }

  @Test func clientsOfAnAddress() throws {
    let scene = try scene { $0.maxClientsPerAddress = 2 }
    let first = scene.join(shard: 0, address: Self.offender)
    _ = scene.join(shard: 1, address: Self.offender)
    for shard in 0...1 { #expect(isLetIn(scene, Self.offender, shard: shard) == nil) }
    #expect(scene.simulation[.refusedAddressClients] == 2)
    _ = scene.join(address: Self.neighbour)
    // A client that has half-closed no longer counts.
    scene.simulation.finish(first.socket)
    scene.simulation.settle()
    #expect(!first.socket.relayClosed)
    _ = scene.join(shard: 1, address: Self.offender)
    // Its end frees nothing a second time.
    scene.simulation.pass(10 * Limits.second)
    #expect(first.socket.relayClosed)
    #expect(isLetIn(scene, Self.offender) == nil)
  }

  @Test func clientsOfA64AreThoseOfOneAddress() throws {
    let scene = try scene { $0.maxClientsPerAddress = 1 }
    let base = UInt128(0x2001_0db8_0000_0001) << 64
    _ = scene.join(address: ClientAddress(bits: base + 1))
    #expect(isLetIn(scene, ClientAddress(bits: base + 0xffff_0000)) == nil)
    _ = scene.join(address: ClientAddress(bits: base + 1 << 64))
  }

  @Test func clientsOfAPrefix() throws {
    let scene = try scene { $0.maxClientsPerPrefix = 2 }
    let member = scene.join(address: Self.offender)
    _ = scene.join(address: Self.neighbour)
    #expect(isLetIn(scene, ClientAddress(v4: 0x0a00_00ff)) == nil)
    #expect(scene.simulation[.refusedPrefixClients] == 1)
    _ = scene.join(address: Self.stranger)
    scene.send(member.id, [], .kick)
    // A closing client no longer counts, and neither did the one that was refused.
    #expect(!member.socket.relayClosed)
    _ = scene.join(address: ClientAddress(v4: 0x0a00_00ff))
    #expect(isLetIn(scene, Self.offender) == nil)
  }

  /// Where all get on with it, newcomers are refused.
  @Test func handshakesOfAShard() throws {
    let scene = try scene { $0.maxPendingHandshakes = 2 }
    let members = (0..<2).map { _ in scene.join() }
    for member in members { scene.simulation.reset(member.socket) }
    scene.simulation.settle()
    let attempts = members.map { scene.attempt($0.id, address: Self.offender) }
    #expect(attempts.allSatisfy { $0.challenge != nil })
    #expect(isLetIn(scene, Self.stranger) == nil)
    #expect(scene.simulation[.refusedHandshakes] == 1)
    // The other shard has its own.
    _ = scene.join(shard: 1, address: Self.stranger)
    _ = scene.finish(attempts[0])
    _ = scene.join(shard: 0, address: Self.stranger)
    _ = scene.finish(attempts[1])
    #expect(scene.simulation[.reconnections] == 2)
  }

  /// The `number`th of as many addresses as anybody may have.
  private func address(_ number: Int) -> ClientAddress {
    ClientAddress(bits: UInt128(0x2001_0db8) << 96 | UInt128(number) << 64 | 1)
  }

  /// What `count` connections, each from an address of its own, have to say for themselves: `words`, and no more.
  private func flood(_ scene: SessionScene, _ count: Int, from first: Int, saying words: [UInt8]) {
    for number in 0..<count {
      let socket = scene.simulation.connect(shard: 0, address: address(first + number))
      if !words.isEmpty { scene.simulation.write(words, to: socket) }
      scene.simulation.settle(for: 0)
    }
  }

  @Test(arguments: [[], [9], FramedHandshakePacket.protocolVersion().bytes])
  func aFloodOfSilenceKeepsNobodyOut(words: [UInt8]) throws {
    let scene = try scene(shards: 1) { $0.maxPendingHandshakes = 50 }
    let member = scene.join()
    scene.simulation.reset(member.socket)
    flood(scene, 60, from: 0, saying: words)
    #expect(scene.simulation[.refusedHandshakes] == 10)
    for number in 1..<20 {
      flood(scene, 60, from: 60 * number, saying: words)
      // New clients and returning ones get in, at their first try.
      _ = scene.join(address: Self.stranger)
      let back = scene.finish(scene.attempt(member.id, address: Self.neighbour))
      #expect(scene.simulation[.reconnections] == UInt64(number))
      scene.simulation.reset(back.socket)
    }
  }

  @Test func whoGetsOnWithItIsNotDroppedForASilentFlood() throws {
    let scene = try scene(shards: 1) { $0.maxPendingHandshakes = 50 }
    let member = scene.join()
    scene.simulation.reset(member.socket)
    scene.simulation.settle()
    let stranger = scene.simulation.connect(shard: 0, address: Self.stranger)
    scene.simulation.write(FramedHandshakePacket.protocolVersion().bytes, to: stranger)
    scene.simulation.settle(for: 0)
    let returner = scene.attempt(member.id, address: Self.neighbour)
    flood(scene, 500, from: 0, saying: [])
    // Nor for one that knows the first word: the challenge was for a session.
    flood(scene, 30, from: 500, saying: FramedHandshakePacket.protocolVersion().bytes)
    #expect(scene.simulation[.refusedHandshakes] == 500 + 30 + 2 - 50)
    scene.simulation.write(
      Array(SimulatedClient.hello.dropFirst(FramedHandshakePacket.protocolVersion().bytes.count)), to: stranger)
    scene.simulation.settle()
    var client = SimulatedClient(stranger)
    #expect(client.readHandshake() != nil)
    flood(scene, 500, from: 530, saying: FramedHandshakePacket.protocolVersion().bytes)
    let back = scene.finish(returner)
    #expect(scene.simulation[.reconnections] == 1)
    #expect(!back.socket.relayFinished && !stranger.relayFinished)
  }

  /// Nor do attempts at one session that go no further than the challenge, from however many addresses.
  @Test func aFloodOfAttemptsKeepsNobodyOut() throws {
    let scene = try scene(shards: 1) {
      $0.maxPendingHandshakes = 50
      $0.handshakeTimeout = nil
    }
    let own = scene.join(address: Self.offender)
    let member = scene.join()
    scene.simulation.reset(member.socket)
    for number in 0..<100 {
      _ = scene.attempt(own.id, address: address(number))
      #expect(number != 49 || scene.simulation[.refusedHandshakes] == 0)
    }
    scene.simulation.pass(2 * Limits.second)
    let refused = scene.simulation[.refusedHandshakes]
    _ = scene.join(address: Self.stranger)
    let returner = scene.attempt(member.id, address: Self.neighbour)
    #expect(returner.challenge != nil)
    #expect(scene.simulation[.refusedHandshakes] == refused + 2 - 1)
    // The oldest goes, not the newest.
    for number in 100..<110 { #expect(scene.attempt(own.id, address: address(number)).challenge != nil) }
    let back = scene.finish(returner)
    #expect(scene.simulation[.reconnections] == 1)
    #expect(!back.socket.relayFinished && !own.socket.relayFinished)
  }

  /// Silent connections give way where the relay is full, too; clients do not.
  @Test func aFloodOfSilenceDoesNotFillTheRelay() throws {
    let scene = try scene(shards: 1) { $0.maxClients = 20 }
    let members = (0..<5).map { scene.join(address: address(1000 + $0)) }
    flood(scene, 100, from: 0, saying: [])
    #expect(scene.simulation[.refusedClients] == 85)
    for number in 0..<15 { _ = scene.join(address: address(2000 + number)) }
    #expect(isLetIn(scene, Self.stranger) == nil)
    #expect(members.allSatisfy { !$0.socket.relayClosed && !$0.socket.relayFinished })
  }

  @Test func handshakesOfAnAddress() throws {
    let scene = try scene { $0.maxPendingHandshakesPerAddress = 2 }
    let waiting = [isLetIn(scene, Self.offender), isLetIn(scene, Self.offender, shard: 1)]
    #expect(isLetIn(scene, Self.offender) == nil)
    #expect(scene.simulation[.refusedAddressHandshakes] == 1)
    _ = scene.join(address: Self.neighbour)
    // Those whose time runs out, and those that are done, make room.
    scene.simulation.write(SimulatedClient.hello, to: waiting[0]!)
    scene.simulation.settle(for: 0)
    _ = scene.join(address: Self.offender)
    scene.simulation.pass(6 * Limits.second)
    #expect(waiting[1]!.relayClosed)
    #expect(scene.simulation[.refusedHandshakeTimeout] == 1)
    #expect(isLetIn(scene, Self.offender) != nil)
    #expect(isLetIn(scene, Self.offender) != nil)
    #expect(isLetIn(scene, Self.offender) == nil)
  }

  @Test(arguments: [0, 1])
  func countsFollowAConnectionToAnotherShard(shard: Int) throws {
    let scene = try scene {
      $0.maxClients = 2
      $0.maxClientsPerAddress = 2
      $0.maxPendingHandshakes = 1
      $0.maxPendingHandshakesPerAddress = 1
    }
    for _ in 0..<5 {
      let member = scene.join(shard: 0)
      scene.simulation.reset(member.socket)
      scene.simulation.settle()
      let attempt = scene.attempt(member.id, shard: shard, address: Self.offender)
      #expect(attempt.challenge != nil)
      #expect(isLetIn(scene, Self.neighbour, shard: 0) == nil, "it shakes hands with the session's shard")
      let back = scene.finish(attempt)
      #expect(scene.simulation[.reconnections] > 0)
      scene.send(back.id, [], .kick)
      scene.simulation.finish(back.socket)
      scene.simulation.settle()
    }
    #expect(scene.simulation[.reconnections] == 5)
  }

  // MARK: Rates

  @Test func newConnectionsOfTheRelay() throws {
    let scene = try scene { $0.acceptRate = Rate(2, per: .second) }
    #expect(isLetIn(scene, Self.offender, shard: 0) != nil)
    #expect(isLetIn(scene, Self.neighbour, shard: 1) != nil)
    #expect(isLetIn(scene, Self.stranger, shard: 0) == nil)
    #expect(scene.simulation[.refusedAcceptRate] == 1)
    scene.simulation.pass(Limits.second / 2)
    #expect(isLetIn(scene, Self.stranger, shard: 0) != nil)
    #expect(isLetIn(scene, Self.stranger, shard: 1) == nil)
  }

  @Test func newConnectionsOfAnAddress() throws {
    let scene = try scene { $0.acceptRatePerAddress = Rate(2, per: .second, burst: 3) }
    for shard in [0, 1, 0] { #expect(isLetIn(scene, Self.offender, shard: shard) != nil) }
    #expect(isLetIn(scene, Self.offender, shard: 1) == nil)
    #expect(scene.simulation[.refusedAddressAcceptRate] == 1)
    #expect(isLetIn(scene, Self.neighbour) != nil)
    scene.simulation.pass(Limits.second / 2)
    #expect(isLetIn(scene, Self.offender) != nil)
    #expect(isLetIn(scene, Self.offender) == nil)
  }

  /// An address that is refused for its own limits takes nothing of what all share.
  @Test func anOffenderUsesUpNothingThatAllShare() throws {
    let scene = try scene {
      $0.acceptRate = Rate(3, per: .minute)
      $0.acceptRatePerAddress = Rate(1, per: .minute)
      $0.maxClients = 3
    }
    #expect(isLetIn(scene, Self.offender) != nil)
    for _ in 0..<20 { #expect(isLetIn(scene, Self.offender) == nil) }
    #expect(isLetIn(scene, Self.neighbour) != nil)
    #expect(isLetIn(scene, Self.stranger) != nil)
  }

  // MARK: Bans

  @Test func whoBreaksTheProtocolOftenIsBannedForATime() throws {
    let scene = try scene {
      $0.banAfter = Rate(3, per: .minute)
      $0.banTime = .seconds(30)
    }
    let member = scene.join(address: Self.offender)
    for shard in [0, 1, 0] { breakProtocol(scene, Self.offender, shard: shard) }
    #expect(scene.simulation[.bans] == 0)
    breakProtocol(scene, Self.offender)
    #expect(scene.simulation[.bans] == 1)
    for shard in 0...1 { #expect(isLetIn(scene, Self.offender, shard: shard) == nil) }
    #expect(scene.simulation[.refusedBanned] == 2)
    #expect(isLetIn(scene, Self.neighbour) != nil)
    // A ban refuses new connections only.
    scene.send(member.id, [5])
    var client = member.client
    #expect(client.next() == [5])
    scene.simulation.pass(29 * Limits.second)
    #expect(isLetIn(scene, Self.offender) == nil)
    scene.simulation.pass(2 * Limits.second)
    #expect(isLetIn(scene, Self.offender) != nil)
  }

  @Test func whatIsNoOffenceBansNobody() throws {
    let scene = try scene {
      $0.banAfter = Rate(1, per: .minute)
      $0.maxClientsPerAddress = 1
    }
    for _ in 0..<5 {
      // Over a limit, silent for too long, gone before it was a client, an unknown id, a key and no more.
      let first = try #require(isLetIn(scene, Self.offender))
      #expect(isLetIn(scene, Self.offender) == nil)
      scene.simulation.pass(6 * Limits.second)
      #expect(first.relayClosed)
      let second = try #require(isLetIn(scene, Self.offender))
      scene.simulation.reset(second)
      scene.simulation.settle(for: 0)
      let attempt = scene.attempt(12345, address: Self.offender)
      scene.simulation.finish(attempt.socket)
      scene.simulation.settle(for: 0)
      let third = try #require(isLetIn(scene, Self.offender))
      scene.simulation.write(FramedHandshakePacket.protocolVersion().bytes, to: third)
      scene.simulation.pass(6 * Limits.second)
    }
    #expect(scene.simulation[.bans] == 0)
    #expect(isLetIn(scene, Self.offender) != nil)
  }

  @Test func anOversizedPacketIsAnOffence() throws {
    let scene = try scene { $0.banAfter = Rate(1, per: .minute) }
    for _ in 0..<2 {
      let member = scene.join(address: Self.offender)
      scene.simulation.write([255, 255, 255, 255], to: member.socket)
      scene.simulation.settle(for: 0)
      #expect(scene.next() == scene.failure(member.id, "packet too large"))
    }
    #expect(isLetIn(scene, Self.offender) == nil)
  }

  // MARK: Exemptions

  @Test func theLoopbackAndUnixSocketsAreExempt() throws {
    let scene = try scene {
      $0.maxClientsPerAddress = 1
      $0.maxClientsPerPrefix = 1
      $0.denied = [try! Network("11.0.0.0/8")]
    }
    for address in [ClientAddress.none, ClientAddress(v4: 0x7f00_0001), ClientAddress(bits: 1)] {
      for _ in 0..<3 { _ = scene.join(address: address) }
    }
    #expect(isLetIn(scene, Self.stranger) == nil)
    #expect(scene.simulation[.refusedDenied] == 1)
  }

  @Test func theLoopbackIsLimitedWhereThatIsWanted() throws {
    let scene = try scene {
      $0.maxClientsPerAddress = 1
      $0.limitsLoopback = true
    }
    for _ in 0..<3 { _ = scene.join(address: ClientAddress.none) }
    _ = scene.join(address: ClientAddress(v4: 0x7f00_0001))
    #expect(isLetIn(scene, ClientAddress(v4: 0x7f00_0001)) == nil)
    _ = scene.join(address: ClientAddress(v4: 0x7f00_0002))
  }

  @Test func listsThatAllowAreExceptionsFromThoseThatDeny() throws {
    let scene = try scene {
      $0.maxClientsPerAddress = 1
      $0.denied = [try! Network("10.0.0.0/8")]
      $0.allowed = [try! Network("10.0.0.2")]
    }
    #expect(isLetIn(scene, Self.offender) == nil)
    for _ in 0..<3 { _ = scene.join(address: Self.neighbour) }
    _ = scene.join(address: Self.stranger)
    #expect(isLetIn(scene, Self.stranger) == nil)
  }

  @Test func nilIsNoLimit() throws {
    let scene = try scene {
      $0.maxClients = nil
      $0.maxClientsPerAddress = nil
      $0.maxClientsPerPrefix = nil
      $0.acceptRatePerAddress = nil
      $0.maxPendingHandshakes = nil
      $0.maxPendingHandshakesPerAddress = nil
      $0.banAfter = nil
      $0.handshakeTimeout = nil
      $0.reconnectFailures = nil
      $0.reconnectFailuresPerAddress = nil
    }
    let silent = (0..<100).map { _ in isLetIn(scene, Self.offender) }
    for _ in 0..<100 { breakProtocol(scene, Self.offender) }
    scene.simulation.pass(1000 * Limits.second)
    #expect(silent.allSatisfy { $0?.relayClosed == false })
    scene.simulation.write(SimulatedClient.hello, to: silent[0]!)
    scene.simulation.settle()
    var client = SimulatedClient(silent[0]!)
    #expect(client.readHandshake() != nil)
  }

  // MARK: How it ends

  @Test(arguments: Rejection.allCases)
  func whatTheRefusedAreTold(rejection: Rejection) throws {
    let scene = try scene {
      $0.rejection = rejection
      $0.denied = [try! Network("10.0.0.1")]
    }
    let malformed = scene.simulation.connect(shard: 0, address: Self.neighbour)
    scene.simulation.write([1, 0, 0, 0, 9], to: malformed)
    let silent = scene.simulation.connect(shard: 0, address: Self.neighbour)
    let denied = scene.simulation.connect(shard: 0, address: Self.offender)
    scene.simulation.pass(6 * Limits.second)
    for socket in [malformed, silent, denied] {
      #expect(socket.relayClosed && socket.outgoing.isEmpty && !socket.relayFinished)
      #expect(socket.relayReset == (rejection == .reset))
      #expect(socket.relayAbandoned == (rejection == .silent))
    }
    // After the relay's key the protocol decides.
    let late = scene.simulation.connect(shard: 0, address: Self.neighbour)
    scene.simulation.write(FramedHandshakePacket.protocolVersion().bytes + [1, 0, 0, 0, 9], to: late)
    scene.simulation.settle(for: 0)
    #expect(late.relayFinished && !late.relayReset && !late.relayAbandoned)
  }

  @Test func eachReasonHasAMetricOfItsOwn() {
    #expect(Set(RefusalReason.allCases.map(\.metric)).count == RefusalReason.allCases.count)
  }

  @Test func whatLimitsDoIsLoggedOnceASecondAReason() throws {
    let scene = try SessionScene(shards: 1) {
      $0.eventLevel = .info
      $0.protection.banAfter = Rate(1, per: .minute)
      $0.protection.denied = [try! Network("11.0.0.0/8")]
      $0.protection.clientPacketRate = Rate(1, per: .minute)
    }
    var digest = scene.simulation.parts.digest
    for round in 0..<3 {
      var counts: [UInt64] = []
      for number in 0..<20 {
        for _ in 0..<2 { breakProtocol(scene, address(100 * round + number)) }
        #expect(isLetIn(scene, Self.stranger) == nil)
        let member = scene.join(address: address(10_000 + 100 * round + number))
        scene.simulation.write([255, 255, 255, 255], to: member.socket)
        let fast = scene.join(address: address(20_000 + 100 * round + number))
        scene.simulation.write((0..<3).flatMap { SimulatedClient.packet([$0]) }, to: fast.socket)
        scene.simulation.settle(for: 0)
        if number == 0 { counts += told(&digest, scene) }
      }
      counts += told(&digest, scene)
      #expect(counts == Array(repeating: 1, count: 4))
      scene.simulation.pass(Limits.second)
      #expect(told(&digest, scene) == Array(repeating: 19, count: 4))
      scene.simulation.pass(Limits.second)
    }
  }

  private func told(_ digest: inout Digest, _ scene: SessionScene) -> [UInt64] {
    var counts: [UInt64] = []
    _ = digest.tell(now: scene.simulation.now) { event in
      switch event {
      case .addressesBanned(_, let count), .clientsRefused(.denied, let count, _),
        .sessionsEnded(.packetTooLarge, let count, _), .clientsSlowed(.packets, let count, _):
        counts.append(count)
      default: Issue.record("\(event)")
      }
    }
    return counts
  }

  // MARK: Reconnections

  private func fail(_ scene: SessionScene, _ id: UInt64, _ address: ClientAddress, shard: Int = 0) -> Bool {
    let attempt = scene.attempt(id, shard: shard, address: address)
    // Never an end before the challenge, which would say that the session is over.
    guard let challenge = attempt.challenge else {
      Issue.record("no challenge")
      return false
    }
    guard !attempt.socket.relayFinished else { return false }
    scene.simulation.write(FramedHandshakePacket.challengeResponse(challenge.span.bytes).bytes, to: attempt.socket)
    scene.simulation.settle(for: 0)
    #expect(attempt.socket.relayFinished)
    return true
  }

  @Test func whoFailsToComeBackOftenMayTryNoMore() throws {
    let scene = try scene {
      $0.reconnectFailures = Rate(2, per: .minute)
      $0.reconnectFailuresPerAddress = Rate(5, per: .minute)
    }
    let members = (0..<4).map { _ in scene.join() }
    for shard in 0...1 { #expect(fail(scene, members[0].id, Self.offender, shard: shard)) }
    for shard in 0...1 { #expect(!fail(scene, members[0].id, Self.offender, shard: shard)) }
    #expect(scene.simulation[.refusedReconnectFailures] == 2)
    // Another id is another matter, until the address has failed too often.
    for _ in 0..<2 { #expect(fail(scene, members[1].id, Self.offender)) }
    #expect(!fail(scene, members[1].id, Self.offender))
    #expect(fail(scene, members[2].id, Self.offender))
    for member in members { #expect(!fail(scene, member.id, Self.offender)) }
    // Nobody else is refused for that, least of all the owner; and the sessions are what they were.
    for member in members {
      let back = scene.finish(scene.attempt(member.id, address: Self.neighbour))
      #expect(!back.socket.relayFinished)
    }
    #expect(scene.simulation[.reconnections] == 4)
    scene.simulation.pass(31 * Limits.second)
    #expect(fail(scene, members[0].id, Self.offender))
    #expect(scene.simulation[.bans] == 0)
  }

  // MARK: Crowds

  /// A client that finds no place in the table is let in, and that is counted.
  @Test func aFullTableIsSeenAndLocksNobodyOut() throws {
    let scene = try scene {
      $0.maxClients = 9
      $0.maxClientsPerAddress = 1
    }
    #expect(isLetIn(scene, Self.neighbour) != nil)
    #expect(scene.simulation[.clientsUncounted] == 0)
    let table = scene.simulation.parts.admission.table
    for bits in 0..<UInt64(10 * table.capacity) {
      guard let place = table.findOrMake(table.fingerprint(of: AddressKey(bits: bits)), now: 0) else { continue }
      place.record.pointee.bannedUntil = .max
      table.unlock(place)
    }
    for _ in 0..<2 { #expect(isLetIn(scene, Self.stranger) != nil) }
    #expect(scene.simulation[.clientsUncounted] == 2)
    // A client that had a place keeps it.
    #expect(isLetIn(scene, Self.neighbour) == nil)
  }

  /// While the workers are full, new clients wait behind returning ones, and give way if handshakes are scarce.
  @Test func thoseWhoComeBackGoBeforeStrangers() throws {
    let scene = try scene(shards: 1) { $0.maxPendingHandshakes = Limits.handshakeLane + 4 }
    let member = scene.join()
    scene.simulation.reset(member.socket)
    scene.simulation.settle()
    scene.simulation.holdWorkers = true
    let hello = SimulatedClient.hello
    let strangers = (0..<(Limits.handshakeLane + 4)).map { _ in scene.simulation.connect(shard: 0) }
    for stranger in strangers { scene.simulation.write(hello, to: stranger) }
    scene.simulation.settle(for: 0)
    // The workers have as much as they take; four strangers wait, and there is no place left.
    let returner = scene.simulation.connect(shard: 0)
    scene.simulation.write(
      FramedHandshakePacket.protocolVersion().bytes + FramedHandshakePacket.clientID(member.id).bytes, to: returner)
    scene.simulation.settle(for: 0)
    #expect(!returner.relayClosed)
    #expect(strangers.count { $0.relayClosed && $0.relayReset } == 1)
    // Time in the relay's own queue does not count.
    scene.simulation.pass(20 * Limits.second)
    #expect(strangers.count { $0.relayClosed } == 1)
    #expect(!returner.relayClosed)
    scene.simulation.holdWorkers = false
    scene.simulation.settle()
    #expect(scene.simulation[.sessionsStarted] == UInt64(1 + strangers.count - 1))
    #expect(scene.simulation[.reconnectionsBegun] == 1)
  }

  /// A clock that stands still twice goes on where it stood: a client that fills its first read gets no more time.
  @Test func whoSaysMuchWhileTheWorkersAreFullHasNoMoreTime() throws {
    let scene = try scene(shards: 1) { _ in }
    scene.simulation.roughness = 0
    let member = scene.join()
    scene.simulation.reset(member.socket)
    scene.simulation.settle()
    scene.simulation.holdWorkers = true
    for _ in 0..<Limits.handshakeLane {
      scene.simulation.write(SimulatedClient.hello, to: scene.simulation.connect(shard: 0))
    }
    scene.simulation.settle(for: 0)
    let returner = scene.simulation.connect(shard: 0)
    let words = FramedHandshakePacket.protocolVersion().bytes + FramedHandshakePacket.clientID(member.id).bytes
    // As much as a read takes, and with it no whole packet behind the id.
    let rest = [0, 1, 0, 0] + [UInt8](repeating: 0, count: Limits.handshakeRead - words.count - 4)
    scene.simulation.write(words + rest, to: returner)
    scene.simulation.settle(for: 0)
    scene.simulation.holdWorkers = false
    scene.simulation.settle()
    #expect(scene.simulation[.reconnectionsBegun] == 1)
    #expect(!returner.relayFinished)
    scene.simulation.pass(6 * Limits.second)
    #expect(returner.relayFinished)
    #expect(scene.simulation[.refusedHandshakeTimeout] == 1)
  }

  /// However many come back at once, to whatever shard, and however busy the workers are: none is turned away.
  @Test func nobodyWhoComesBackIsTurnedAwayOnTheWayToTheSessionsShard() throws {
    let scene = try scene(shards: 2) { _ in }
    let members = (0..<(Limits.handshakeLane + 2 * Limits.shardLane)).map { _ in scene.join(shard: 0) }
    for member in members { scene.simulation.reset(member.socket) }
    scene.simulation.settle()
    scene.simulation.holdWorkers = true
    let sockets = members.map { member in
      let socket = scene.simulation.connect(shard: 1)
      let words = FramedHandshakePacket.protocolVersion().bytes + FramedHandshakePacket.clientID(member.id).bytes
      // Those that are held up have already sent what follows.
      scene.simulation.write(words + SimulatedClient.packet([]), to: socket)
      return socket
    }
    scene.simulation.settle(for: 0)
    #expect(sockets.allSatisfy { !$0.relayClosed && !$0.relayReset })
    // Time in the relay's own queue does not count.
    scene.simulation.pass(20 * Limits.second)
    #expect(sockets.allSatisfy { !$0.relayClosed && !$0.relayReset })
    scene.simulation.holdWorkers = false
    scene.simulation.settle()
    #expect(scene.simulation[.reconnectionsBegun] == UInt64(members.count))
    // What followed came after the id: no packet of the handshake, which is told once the challenge is out.
    #expect(scene.simulation[.handshakesMalformed] == UInt64(members.count))
    #expect(sockets.allSatisfy { $0.outgoing.count > 100 })
  }
}
