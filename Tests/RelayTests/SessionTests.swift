import Testing
import VoltlaneCrypto
import VoltlaneWire

@testable import Relay

/// What the protocol says of sessions (Protocol.md: coming back, missed packets, ends), rule by rule, over a scripted
/// kernel.
@Suite struct SessionTests {
  static let ping: [UInt8] = [0]

  // MARK: Coming back

  @Test(arguments: [0, 1], 1...4 as ClosedRange<UInt64>)
  func aClientComesBackToWhatItMissed(shard: Int, seed: UInt64) throws {
    let scene = try SessionScene(seed: seed)
    let member = scene.join(shard: 0)
    scene.simulation.reset(member.socket)
    scene.simulation.settle()
    // The backend hears nothing of going stale.
    #expect(scene.next() == nil)
    for byte in 1...3 as ClosedRange<UInt8> { scene.send(member.id, [byte, byte]) }
    // To either shard, with data behind the ping.
    var back = scene.comeBack(member.id, shard: shard, also: SimulatedClient.packet([7, 7]))
    #expect(back.client.next() == Self.ping)
    for byte in 1...3 as ClosedRange<UInt8> { #expect(back.client.next() == [byte, byte]) }
    #expect(scene.next() == scene.reconnection(member.id))
    #expect(scene.next() == .init(id: member.id, flag: .data, data: [7, 7]))
    scene.send(member.id, [9])
    #expect(back.client.next() == [9])
    #expect(scene.next() == nil)
  }

  @Test(arguments: [0, 1])
  func whatTheOldSocketTookInPartComesWhole(shard: Int) throws {
    let scene = try SessionScene()
    scene.simulation.roughness = 0
    let member = scene.join()
    member.socket.room = 7
    scene.send(member.id, [1, 2, 3, 4, 5, 6])
    scene.send(member.id, [8])
    scene.simulation.reset(member.socket)
    scene.simulation.settle()
    var back = scene.comeBack(member.id, shard: shard)
    #expect(back.client.next() == Self.ping)
    #expect(back.client.next() == [1, 2, 3, 4, 5, 6])
    #expect(back.client.next() == [8])
    #expect(back.client.next() == nil)
  }

  @Test func aSessionThatStillLooksAttachedIsTakenOver() throws {
    let scene = try SessionScene()
    let member = scene.join()
    scene.simulation.write(SimulatedClient.packet([1]), to: member.socket)
    scene.simulation.settle()
    var back = scene.comeBack(member.id, shard: 1, also: SimulatedClient.packet([2]))
    #expect(back.client.next() == Self.ping)
    #expect(member.socket.relayClosed)
    scene.simulation.write(SimulatedClient.packet([3]), to: back.socket)
    scene.simulation.settle()
    #expect(scene.next() == .init(id: member.id, flag: .data, data: [1]))
    #expect(scene.next() == scene.reconnection(member.id))
    #expect(scene.next() == .init(id: member.id, flag: .data, data: [2]))
    #expect(scene.next() == .init(id: member.id, flag: .data, data: [3]))
    scene.send(member.id, [4])
    #expect(back.client.next() == [4])
  }

  @Test func anUnknownIDIsClosedInOrderWithoutAChallenge() throws {
    let scene = try SessionScene()
    for id in [0, 1, .max, 0x1234_5678_9abc_def0] as [UInt64] {
      let attempt = scene.attempt(id)
      #expect(attempt.challenge == nil)
      #expect(attempt.socket.relayFinished)
      scene.simulation.finish(attempt.socket)
      scene.simulation.settle()
      #expect(attempt.socket.relayClosed && !attempt.socket.relayReset)
    }
  }

  @Test func theChallengeSentBackUnreadIsRefused() throws {
    let scene = try SessionScene()
    let member = scene.join()
    let attempt = scene.attempt(member.id)
    let challenge = try #require(attempt.challenge)
    scene.simulation.write(
      FramedHandshakePacket.challengeResponse(challenge.span.bytes).bytes + FramedHandshakePacket.ping.bytes,
      to: attempt.socket)
    scene.simulation.settle()
    #expect(attempt.socket.relayFinished)
    #expect(attempt.client.next() == nil)
    #expect(scene.simulation[.reconnectionsRefused] == 1)
    // Nothing changed for the owner.
    #expect(!member.socket.relayClosed && !member.socket.relayFinished)
    #expect(scene.next() == nil)
    #expect(scene.comeBack(member.id).socket.relayFinished == false)
    #expect(scene.next() == scene.reconnection(member.id))
  }

  @Test func wrongResponsesChangeNothingForTheOwner() throws {
    let scene = try SessionScene()
    var member = scene.join()
    let strangerKey = try SecretKey.generate().sessionKey(with: scene.simulation.identity.publicKey)
    let wrongKey = SealedBox.seal(
      SealedBox.Plain(repeating: 1).span.bytes, key: strangerKey, nonce: SealedBox.Nonce(repeating: 3))
    let responses: [[UInt8]] = [
      FramedHandshakePacket.challengeResponse(wrongKey.span.bytes).bytes,
      FramedHandshakePacket.challengeResponse([UInt8](repeating: 0, count: 72).span.bytes).bytes,
      [3, 0, 0, 0, 5, 1, 9], [1, 0, 0, 0, 5], FramedHandshakePacket.ping.bytes, [0, 0, 0, 0],
      FramedHandshakePacket.clientID(member.id).bytes,
    ]
    for response in responses {
      let attempt = scene.attempt(member.id)
      #expect(attempt.challenge != nil)
      scene.simulation.write(response + FramedHandshakePacket.ping.bytes, to: attempt.socket)
      scene.simulation.settle()
      #expect(attempt.socket.relayFinished, "\(response)")
      #expect(attempt.client.next() == nil)
    }
    // A replayed response, of an earlier challenge.
    let first = scene.attempt(member.id)
    let replayed = scene.response(to: try #require(first.challenge))
    let second = scene.attempt(member.id)
    scene.simulation.write(replayed + FramedHandshakePacket.ping.bytes, to: second.socket)
    scene.simulation.settle()
    #expect(second.socket.relayFinished)
    scene.send(member.id, [5])
    #expect(member.client.next() == [5])
    #expect(scene.next() == nil)
  }

  @Test func thePingOfOneAttemptClosesTheOthers() throws {
    let scene = try SessionScene()
    let member = scene.join()
    let parked = scene.attempt(member.id)
    let answered = scene.attempt(member.id, shard: 1)
    scene.simulation.write(scene.response(to: try #require(answered.challenge)), to: answered.socket)
    scene.simulation.settle()
    // A good response alone changes nothing.
    #expect(!member.socket.relayClosed && scene.next() == nil)
    let back = scene.comeBack(member.id)
    #expect(parked.socket.relayFinished && answered.socket.relayFinished)
    scene.simulation.write(FramedHandshakePacket.ping.bytes, to: answered.socket)
    scene.simulation.settle()
    #expect(scene.next() == scene.reconnection(member.id))
    #expect(scene.next() == nil)
    #expect(!back.socket.relayFinished)
  }

  @Test func aParkedAttemptRunsOutAndTheSessionStays() throws {
    let scene = try SessionScene()
    let member = scene.join()
    scene.simulation.reset(member.socket)
    let parked = scene.attempt(member.id)
    scene.simulation.pass(6 * Limits.second)
    #expect(parked.socket.relayFinished)
    var back = scene.comeBack(member.id)
    #expect(back.client.next() == Self.ping)
  }

  // MARK: Time

  @Test func aStaleSessionEndsAtItsTimeWhateverIsAttempted() throws {
    let scene = try SessionScene { $0.staleTimeout = .seconds(60) }
    let member = scene.join()
    scene.simulation.reset(member.socket)
    scene.simulation.settle(for: 0)
    scene.simulation.pass(59 * Limits.second)
    #expect(scene.next() == nil)
    let attempt = scene.attempt(member.id)
    scene.simulation.pass(2 * Limits.second)
    #expect(scene.next() == scene.failure(member.id, "stale timeout"))
    // The attempts on it are closed, and it is never seen again.
    #expect(attempt.socket.relayFinished)
    #expect(scene.attempt(member.id).challenge == nil)
    scene.send(member.id, [1])
    #expect(scene.next() == scene.failure(member.id, "unknown client"))
  }

  @Test func withoutAStaleTimeoutASessionEndsWithItsSocket() throws {
    let scene = try SessionScene { $0.staleTimeout = .zero }
    let member = scene.join()
    scene.simulation.reset(member.socket)
    scene.simulation.settle()
    #expect(scene.next() == scene.failure(member.id, "stale timeout"))
  }

  // MARK: Missed packets

  @Test func missedPacketsAreBoundedInBytes() throws {
    let scene = try SessionScene { $0.missedPacketsBuffer = 100 }
    let member = scene.join()
    scene.simulation.reset(member.socket)
    scene.simulation.settle()
    // Below the limit a packet of any size is taken; 24 packets without data make 96 bytes.
    for _ in 0..<24 { scene.send(member.id, []) }
    scene.send(member.id, Array(repeating: 1, count: 5000))
    #expect(scene.next() == nil)
    scene.send(member.id, [])
    #expect(scene.next() == scene.failure(member.id, "buffer overflow"))
  }

  @Test func withoutAMissedPacketsBufferTheFirstPacketEndsTheSession() throws {
    let scene = try SessionScene { $0.missedPacketsBuffer = 0 }
    let member = scene.join()
    scene.simulation.reset(member.socket)
    scene.simulation.settle()
    scene.send(member.id, [])
    #expect(scene.next() == scene.failure(member.id, "buffer overflow"))
  }

  @Test(arguments: [0, 1])
  func overTheTotalTheLargestStaleHolderEnds(shard: Int) throws {
    let scene = try SessionScene { $0.missedPacketsTotal = 10_000 }
    let small = scene.join(shard: 0)
    let large = scene.join(shard: shard)
    for member in [small, large] { scene.simulation.reset(member.socket) }
    scene.simulation.settle()
    scene.send(large.id, Array(repeating: 1, count: 7000))
    scene.send(small.id, Array(repeating: 1, count: 3500))
    #expect(scene.next() == scene.failure(large.id, "memory"))
    #expect(scene.next() == nil)
    var back = scene.comeBack(small.id)
    #expect(back.client.next() == Self.ping)
    #expect(back.client.next()?.count == 3500)
  }

  @Test func carriedOverPacketsDontCountTowardsTheAttachedLimit() throws {
    let scene = try SessionScene {
      $0.clientSendBuffer = 50
      $0.missedPacketsBuffer = 1000
    }
    scene.simulation.roughness = 0
    let member = scene.join()
    scene.simulation.reset(member.socket)
    scene.simulation.settle()
    for _ in 0..<9 { scene.send(member.id, Array(repeating: 1, count: 96)) }
    let attempt = scene.attempt(member.id)
    attempt.socket.room = 5
    var back = scene.finish(attempt)
    for _ in 0..<10 { scene.send(member.id, [2]) }
    #expect(scene.next() == scene.reconnection(member.id))
    #expect(scene.next() == nil)
    scene.simulation.allow(.max, back.socket)
    scene.simulation.settle()
    #expect(back.client.next() == Self.ping)
    for _ in 0..<9 { #expect(back.client.next()?.count == 96) }
    for _ in 0..<10 { #expect(back.client.next() == [2]) }
  }

  /// Changing state ends nobody: what waited for a slow client may be more than a stale one may miss.
  @Test func goingStaleWithMoreThanTheLimitEndsNobody() throws {
    let scene = try SessionScene { $0.missedPacketsBuffer = 10 }
    scene.simulation.roughness = 0
    let member = scene.join()
    member.socket.room = 0
    for number in 0..<9 as Range<UInt8> { scene.send(member.id, [UInt8](repeating: number, count: 50)) }
    scene.simulation.reset(member.socket)
    scene.simulation.settle()
    #expect(scene.next() == nil)
    var back = scene.comeBack(member.id)
    #expect(back.client.next() == Self.ping)
    for number in 0..<9 as Range<UInt8> { #expect(back.client.next() == [UInt8](repeating: number, count: 50)) }
  }

  // MARK: Packets that end their client

  @Test func aPacketAboveTheMaximumEndsItsClient() throws {
    let scene = try SessionScene { $0.maxPacketSize = 1000 }
    let member = scene.join()
    scene.simulation.write(
      SimulatedClient.packet([UInt8](repeating: 1, count: 1000)) + [0xe9, 3, 0, 0], to: member.socket)
    scene.simulation.settle()
    #expect(scene.next()?.data.count == 1000)
    #expect(scene.next() == scene.failure(member.id, "packet too large"))
    #expect(member.socket.relayFinished)
  }

  /// From its first byte to its last; the relay's own pauses don't count, from the moment that the uplink is full.
  @Test(arguments: [0, 4]) func aPacketThatStaysUnfinishedEndsItsClient(roughness: Int) throws {
    let scene = try SessionScene(shards: 1)
    scene.simulation.roughness = roughness
    let slow = scene.join()
    let busy = scene.join()
    scene.simulation.write([100], to: slow.socket)
    scene.simulation.pass(20 * Limits.second)
    scene.simulation.write([0, 0, 0, 1], to: slow.socket)
    scene.simulation.settle()
    // The backend does not read for a minute: nor does the relay.
    scene.backend.socket.room = 0
    let packets = (0..<1200).flatMap { _ in SimulatedClient.packet([UInt8](repeating: 1, count: 1000)) }
    scene.simulation.write(packets, to: busy.socket)
    scene.simulation.pass(60 * Limits.second)
    #expect(!slow.socket.relayFinished)
    scene.simulation.allow(.max, scene.backend.socket)
    scene.simulation.pass(8 * Limits.second)
    #expect(!slow.socket.relayFinished)
    scene.simulation.pass(4 * Limits.second)
    #expect(slow.socket.relayFinished && !busy.socket.relayFinished)
    while let packet = scene.next() {
      if packet.flag == .failure { #expect(packet == scene.failure(slow.id, "packet timeout")) }
    }
  }

  // MARK: FIN

  @Test func afterAFINUnacknowledgedPacketsAreMissedPackets() throws {
    let scene = try SessionScene()
    scene.simulation.roughness = 0
    var member = scene.join()
    scene.simulation.finish(member.socket)
    scene.simulation.settle()
    member.socket.unacknowledged = .max
    scene.send(member.id, [1, 1])
    scene.send(member.id, [2, 2])
    scene.send(member.id, [3, 3])
    // A half-close: it still gets what is coming.
    #expect(member.client.next() == [1, 1] && member.client.next() == [2, 2] && member.client.next() == [3, 3])
    // Of 18 bytes its TCP has acknowledged the first packet and a part of the second.
    member.socket.unacknowledged = 9
    scene.simulation.reset(member.socket)
    scene.simulation.settle()
    var back = scene.comeBack(member.id)
    #expect(back.client.next() == Self.ping)
    #expect(back.client.next() == [2, 2] && back.client.next() == [3, 3] && back.client.next() == nil)
  }

  @Test func aHalfClosedClientGoesStaleAfterItsTime() throws {
    let scene = try SessionScene()
    scene.simulation.roughness = 0
    let member = scene.join()
    scene.simulation.finish(member.socket)
    scene.simulation.settle()
    scene.send(member.id, [1])
    member.socket.unacknowledged = 5
    scene.simulation.pass(6 * Limits.second)
    #expect(member.socket.relayClosed && member.socket.relayReset)
    #expect(scene.next() == nil)
    var back = scene.comeBack(member.id)
    #expect(back.client.next() == Self.ping)
    #expect(back.client.next() == [1])
  }

  @Test func aHalfClosedSessionIsTakenOver() throws {
    let scene = try SessionScene()
    scene.simulation.roughness = 0
    let member = scene.join()
    scene.simulation.finish(member.socket)
    scene.simulation.settle()
    scene.send(member.id, [1])
    member.socket.unacknowledged = 5
    var back = scene.comeBack(member.id)
    #expect(member.socket.relayClosed && member.socket.relayReset)
    #expect(back.client.next() == Self.ping && back.client.next() == [1] && back.client.next() == nil)
  }

  // MARK: Gone while the backend takes nothing

  /// Clients that are gone while their sockets are not read give these back, and their sessions go stale: one that was
  /// reset at once, one that closed as always. A client with something unread before its FIN is read when there is
  /// room.
  @Test(arguments: [false, true]) func whoIsGoneIsNoticedWhileTheUplinkIsFull(withFIN: Bool) throws {
    let scene = try SessionScene(shards: 1) {
      $0.maxPacketSize = 100_000
      $0.staleTimeout = .seconds(2)
    }
    scene.backend.socket.room = 0
    let flooding = scene.join()
    let members = (0..<4).map { _ in scene.join() }
    let lastWords = scene.join()
    let flood = SimulatedClient.packet([UInt8](repeating: 1, count: 60_000))
    for _ in 0..<200 { scene.simulation.write(flood, to: flooding.socket) }
    scene.simulation.settle()
    #expect(flooding.socket.available > 0)
    scene.simulation.write(SimulatedClient.packet([9]), to: lastWords.socket)
    scene.simulation.finish(lastWords.socket)
    for member in members {
      if withFIN { scene.simulation.finish(member.socket) } else { scene.simulation.reset(member.socket) }
    }
    scene.simulation.pass(withFIN ? 6 * Limits.second : 0)
    #expect(!lastWords.socket.relayClosed)
    #expect(members.allSatisfy(\.socket.relayClosed) && !flooding.socket.relayClosed)
    #expect(scene.simulation[.sessionsGoneStale] == 4)
    scene.simulation.pass(4 * Limits.second)
    #expect(scene.simulation[.sessionsEnded] == 4)
    scene.simulation.allow(.max, scene.backend.socket)
    scene.simulation.settle()
    var heard = false
    var ended: Set<UInt64> = []
    while let packet = scene.next() {
      heard = heard || packet.id == lastWords.id && packet.data == [9]
      guard packet.flag == .failure else { continue }
      #expect(packet == scene.failure(packet.id, "stale timeout"))
      ended.insert(packet.id)
    }
    #expect(ended == Set(members.map(\.id)) && heard)
  }

  // MARK: Packets that follow one another for the same client

  /// They cross the lane as one, and are kept and counted one by one all the same.
  @Test(arguments: [true, false]) func aRunIsKeptAndLimitedPacketByPacket(isStale: Bool) throws {
    let scene = try SessionScene {
      $0.clientSendBuffer = 20
      $0.missedPacketsBuffer = 20
    }
    scene.simulation.roughness = 0
    let member = scene.join()
    if isStale { scene.simulation.reset(member.socket) } else { member.socket.room = 0 }
    scene.simulation.settle()
    let packet = SimulatedBackend.packet(member.id, .data, [7])
    // Each counts 5: four reach the limit, the fifth is over it, and two are nobody's.
    scene.simulation.write(packet + packet + packet + packet, to: scene.backend.socket)
    scene.simulation.settle()
    #expect(scene.next() == nil)
    #expect(scene.simulation[.packetsDown] == 4)
    scene.simulation.write(packet + packet + packet, to: scene.backend.socket)
    scene.simulation.settle()
    #expect(scene.next() == scene.failure(member.id, "buffer overflow"))
    #expect(scene.next() == scene.failure(member.id, "unknown client"))
    #expect(scene.next() == scene.failure(member.id, "unknown client"))
    #expect(scene.next() == nil)
  }

  /// A run that a socket takes in part goes on where it stopped; on another socket with the packet that was begun.
  @Test(arguments: 0...30) func aRunIsTakenInPart(taken: Int) throws {
    let scene = try SessionScene()
    scene.simulation.roughness = 0
    var member = scene.join()
    member.socket.room = taken
    let packets: [[UInt8]] = [[1, 1, 1], [], [2], [3, 3, 3, 3]]
    scene.simulation.write(
      packets.flatMap { SimulatedBackend.packet(member.id, .data, $0) }, to: scene.backend.socket)
    scene.simulation.settle()
    if taken % 2 == 0 {
      scene.simulation.allow(.max, member.socket)
      scene.simulation.settle()
      for packet in packets { #expect(member.client.next() == packet) }
      #expect(member.client.next() == nil)
    } else {
      var whole = 0
      while member.client.next() != nil { whole += 1 }
      scene.simulation.reset(member.socket)
      scene.simulation.settle()
      var back = scene.comeBack(member.id)
      #expect(back.client.next() == Self.ping)
      for packet in packets[whole...] { #expect(back.client.next() == packet) }
      #expect(back.client.next() == nil)
    }
  }

  // MARK: Refused before the challenge

  /// Between client id and challenge an orderly close says that the session is over, and a reset looks like one behind
  /// a proxy and on a unix socket. Attempts that run while another one takes effect are refused behind their challenge.
  @Test(arguments: [false, true])
  func anAttemptThatLosesIsNotToldThatItsSessionIsOver(isLocal: Bool) throws {
    for seed in 1...20 as ClosedRange<UInt64> {
      let scene = try SessionScene(seed: seed)
      let member = scene.join()
      let winner = scene.attempt(member.id)
      let losers = (0..<6).map { shard in
        let socket = scene.simulation.connect(shard: shard % 2)
        socket.isLocal = isLocal
        scene.simulation.write(
          FramedHandshakePacket.protocolVersion().bytes + FramedHandshakePacket.clientID(member.id).bytes, to: socket)
        return socket
      }
      _ = scene.finish(winner)
      for loser in losers {
        #expect(!loser.relayReset, "seed \(seed)")
        var client = SimulatedClient(loser)
        _ = client.next()
        #expect(client.next() != nil, "seed \(seed)")
      }
      #expect(scene.next() == scene.reconnection(member.id))
    }
  }

  /// A client with too many wrong responses from its address, as has its neighbour behind the same proxy, gets its
  /// challenge all the same, and is closed behind it, without another look at what it answers.
  @Test(arguments: [false, true]) func tooManyFailuresAreRefusedBehindTheChallenge(isLocal: Bool) throws {
    let scene = try SessionScene(shards: 1) {
      $0.protection.reconnectFailures = Rate(2, per: .minute)
      $0.protection.limitsLoopback = true
    }
    let member = scene.join()
    for _ in 0..<2 {
      let attempt = scene.attempt(member.id)
      scene.simulation.write(
        FramedHandshakePacket.challengeResponse([UInt8](repeating: 0, count: 72).span.bytes).bytes, to: attempt.socket)
      scene.simulation.settle()
    }
    #expect(scene.simulation[.reconnectionsRefused] == 2)
    let socket = scene.simulation.connect(shard: 0)
    socket.isLocal = isLocal
    scene.simulation.write(
      FramedHandshakePacket.protocolVersion().bytes + FramedHandshakePacket.clientID(member.id).bytes, to: socket)
    scene.simulation.settle()
    var client = SimulatedClient(socket)
    _ = client.next()
    let packet = client.next()
    let challenge = try #require(packet)
    #expect(challenge.count == 74 && socket.relayFinished && !socket.relayReset)
    #expect(scene.simulation[.refusedReconnectFailures] == 1)
    scene.simulation.write(
      scene.response(to: Array(challenge[2...])) + FramedHandshakePacket.ping.bytes, to: socket)
    scene.simulation.finish(socket)
    scene.simulation.settle()
    #expect(socket.relayClosed && client.next() == nil)
    #expect(scene.simulation[.reconnections] == 0 && scene.simulation[.reconnectionsBegun] == 2)
    // Its time over, the owner is let in.
    scene.simulation.pass(61 * Limits.second)
    #expect(!scene.comeBack(member.id).socket.relayFinished)
  }

  /// Where the client's id may be on its way, what ends the connection ends it within a packet: because the time for
  /// the handshake is over, because the place is needed, or because all together have sent too much.
  @Test(arguments: [false, true], 0...2) func theIDMayBeOnItsWay(isLocal: Bool, cause: Int) throws {
    let scene = try SessionScene(shards: 1) {
      if cause == 1 { $0.protection.maxPendingHandshakes = 1 }
      if cause == 2 { $0.assemblyBudget = 300 }
      $0.protection.maxPendingHandshakesPerAddress = nil
    }
    scene.simulation.roughness = 0
    let socket = scene.simulation.connect(shard: 0)
    socket.isLocal = isLocal
    scene.simulation.write(FramedHandshakePacket.protocolVersion().bytes, to: socket)
    if cause == 2 { scene.simulation.write([200, 0, 0, 0] + [UInt8](repeating: 3, count: 190), to: socket) }
    scene.simulation.settle()
    switch cause {
    case 0: scene.simulation.pass(6 * Limits.second)
    case 1: _ = scene.simulation.connect(shard: 0)
    default:
      let other = scene.simulation.connect(shard: 0)
      scene.simulation.write(
        FramedHandshakePacket.protocolVersion().bytes + [200, 0, 0, 0] + [UInt8](repeating: 3, count: 100), to: other)
    }
    scene.simulation.settle()
    #expect(socket.relayClosed && socket.relayReset == !isLocal)
    var client = SimulatedClient(socket)
    _ = client.next()
    #expect(socket.outgoing.suffix(4) == [74, 0, 0, 0] && client.next() == nil)
  }

  /// What connections send ahead in the handshake counts towards the budget of unfinished packets.
  @Test(arguments: [false, true])
  func whatComesAheadInTheHandshakeIsWithinTheBudget(isLocal: Bool) throws {
    for seed in 1...10 as ClosedRange<UInt64> {
      let scene = try SessionScene(seed: seed) { $0.assemblyBudget = 2048 }
      // A unix socket whose id has come in part only is closed as it is.
      if isLocal { scene.simulation.roughness = 0 }
      let member = scene.join()
      let sockets = (0..<40).map { index in
        let socket = scene.simulation.connect(shard: index % 2)
        socket.isLocal = isLocal
        // Behind the id a packet of 250 bytes that never becomes whole.
        scene.simulation.write(
          FramedHandshakePacket.protocolVersion().bytes + FramedHandshakePacket.clientID(member.id).bytes
            + [250, 0, 0, 0] + [UInt8](repeating: 5, count: 200), to: socket)
        return socket
      }
      scene.simulation.settle()
      #expect(scene.simulation[.refusedUnfinishedPackets] >= 32, "seed \(seed)")
      #expect(scene.simulation[.handshakesMalformed] == 0)
      for socket in sockets {
        var client = SimulatedClient(socket)
        _ = client.next()
        #expect(client.next() != nil || socket.relayReset, "seed \(seed)")
      }
      #expect(sockets.count { !$0.relayFinished && !$0.relayClosed } <= 8)
      #expect(sockets.contains { !$0.relayFinished && !$0.relayClosed })
      scene.simulation.pass(5 * Limits.second + Limits.second)
      #expect(scene.comeBack(member.id).socket.relayFinished == false)
    }
  }

  // MARK: Kick

  @Test func aKickDeliversWhatWasSentBeforeItAndEndsTheSessionForGood() throws {
    let scene = try SessionScene()
    var member = scene.join()
    scene.simulation.write(
      SimulatedBackend.packet(member.id, .data, [1]) + SimulatedBackend.packet(member.id, .kick)
        + SimulatedBackend.packet(member.id, .data, [2]), to: scene.backend.socket)
    scene.simulation.settle()
    #expect(member.client.next() == [1] && member.client.next() == nil)
    #expect(member.socket.relayFinished)
    scene.simulation.write(SimulatedClient.packet([9]), to: member.socket)
    scene.simulation.settle()
    #expect(scene.next() == scene.failure(member.id, "kicked"))
    #expect(scene.next() == scene.failure(member.id, "unknown client"))
    #expect(scene.next() == nil)
    #expect(scene.attempt(member.id).challenge == nil)
  }

  /// A client whose packets wait for a backend that does not read is kicked: what it goes on sending is discarded.
  @Test func aKickedClientIsDiscardedWhileTheUplinkIsFull() throws {
    let scene = try SessionScene()
    let members = (0..<4).map { scene.join(shard: $0 % 2) }
    scene.backend.socket.room = 0
    let packets = (0..<1200).flatMap { _ in SimulatedClient.packet([UInt8](repeating: 1, count: 1000)) }
    for member in members { scene.simulation.write(packets, to: member.socket) }
    scene.simulation.settle()
    for member in members { #expect(member.socket.available > 0) }
    for member in members {
      scene.simulation.write(SimulatedBackend.packet(member.id, .kick), to: scene.backend.socket)
    }
    scene.simulation.settle()
    for member in members {
      #expect(member.socket.available == 0 && member.socket.relayFinished)
      scene.simulation.write(packets, to: member.socket)
      scene.simulation.finish(member.socket)
    }
    scene.simulation.settle()
    for member in members { #expect(member.socket.relayClosed && !member.socket.relayReset) }
    scene.simulation.allow(.max, scene.backend.socket)
    scene.simulation.settle()
    var ended: [UInt64] = []
    while let packet = scene.next() {
      guard packet.flag != .data else { continue }
      #expect(packet == scene.failure(packet.id, "kicked"))
      ended.append(packet.id)
    }
    #expect(ended.sorted() == members.map(\.id).sorted())
  }

  @Test func aStaleSessionIsKicked() throws {
    let scene = try SessionScene()
    let member = scene.join()
    scene.simulation.reset(member.socket)
    scene.simulation.settle()
    scene.send(member.id, [1])
    scene.send(member.id, [], .kick)
    #expect(scene.next() == scene.failure(member.id, "kicked"))
    #expect(scene.attempt(member.id).challenge == nil)
  }

  // MARK: The stale table

  @Test func aCrowdOfConnectAndCloseDoesNotEvictTheRealOwners() throws {
    let scene = try SessionScene { $0.maxStaleClients = 10 }
    let owners = (0..<8).map { scene.join(shard: $0 % 2, address: ClientAddress(v4: 0x0a00_0001 + UInt32($0) << 8)) }
    for owner in owners {
      scene.simulation.write(SimulatedClient.packet([1]), to: owner.socket)
      scene.simulation.settle()
      scene.simulation.reset(owner.socket)
    }
    for index in 0..<40 {
      let stranger = scene.join(shard: index % 2, address: ClientAddress(v4: 0x0b00_0001 + UInt32(index) << 8))
      scene.simulation.reset(stranger.socket)
      scene.simulation.settle()
    }
    var ended: [UInt64] = []
    while let packet = scene.next() {
      if packet.flag == .failure {
        #expect(packet.data == Array("stale table full".utf8))
        ended.append(packet.id)
      }
    }
    #expect(ended.count == 38)
    #expect(Set(ended).isDisjoint(with: owners.map(\.id)))
  }

  @Test func amongThoseHeardOfTheOldestOfTheFullestPrefixGoes() throws {
    let scene = try SessionScene(shards: 1) { $0.maxStaleClients = 4 }
    // One of a lone prefix goes stale first, four of one prefix after it.
    let lone = scene.join(address: ClientAddress(v4: 0x0a00_0001))
    let crowd = (0..<4).map { scene.join(address: ClientAddress(v4: 0x0b00_0001 + UInt32($0))) }
    for member in [lone] + crowd {
      scene.simulation.write(SimulatedClient.packet([1]), to: member.socket)
      scene.simulation.settle()
      scene.simulation.reset(member.socket)
      scene.simulation.settle()
      #expect(scene.next()?.flag == .data)
    }
    #expect(scene.next() == scene.failure(crowd[0].id, "stale table full"))
    #expect(scene.next() == nil)
  }

  // MARK: The backend

  @Test(arguments: 1...6 as ClosedRange<UInt64>)
  func aNewConnectionBeginsWithTheSweep(seed: UInt64) throws {
    let scene = try SessionScene(seed: seed)
    let members = (0..<5).map { scene.join(shard: $0 % 2) }
    scene.simulation.reset(members[0].socket)
    scene.simulation.settle()
    scene.send(members[1].id, [], .kick)
    #expect(scene.next() == scene.failure(members[1].id, "kicked"))
    scene.simulation.reset(scene.backend.socket)
    scene.simulation.settle(for: 0)
    // While there is no backend.
    scene.simulation.write(SimulatedClient.packet([2]), to: members[2].socket)
    scene.simulation.settle(for: 0)
    scene.simulation.pass(3 * Limits.second)
    scene.backend = SimulatedBackend(scene.simulation.backends.last!)
    var announced: Set<UInt64> = []
    for _ in 0..<4 {
      let packet = scene.next()
      #expect(packet?.flag == .reconnection)
      announced.insert(packet?.id ?? 0)
    }
    #expect(announced == Set([members[0], members[2], members[3], members[4]].map(\.id)))
    #expect(scene.next() == .init(id: members[2].id, flag: .data, data: [2]))
    #expect(scene.next() == nil)
  }

  @Test func withAnnounceOffThereIsNoSweep() throws {
    let scene = try SessionScene { $0.announce = false }
    let member = scene.join()
    scene.restartBackend()
    scene.simulation.write(SimulatedClient.packet([2]), to: member.socket)
    scene.simulation.settle()
    #expect(scene.next() == .init(id: member.id, flag: .data, data: [2]))
  }

  @Test func thePacketThatWasHandedOverInPartIsSentWhole() throws {
    let scene = try SessionScene()
    scene.simulation.roughness = 0
    let member = scene.join()
    let data = (0..<100).map { UInt8($0) }
    scene.simulation.write(SimulatedClient.packet([1]), to: member.socket)
    scene.simulation.settle()
    scene.backend.socket.room = 50
    scene.simulation.write(SimulatedClient.packet(data) + SimulatedClient.packet([3]), to: member.socket)
    scene.simulation.settle()
    #expect(scene.next()?.data == [1] && scene.next() == nil)
    scene.restartBackend()
    #expect(scene.next() == scene.reconnection(member.id))
    #expect(scene.next()?.data == data)
    #expect(scene.next()?.data == [3])
    #expect(scene.next() == nil)
  }

  @Test(arguments: [100, 100_000])
  func aPacketWithinWhichTwoConnectionsDieIsGivenUp(size: Int) throws {
    let scene = try SessionScene()
    scene.simulation.roughness = 0
    scene.simulation.roomOfNewBackends = 60
    let offender = scene.join(shard: 0)
    let neighbour = scene.join(shard: 0)
    scene.backend.socket.room = 30
    let poison = SimulatedClient.packet(Array(repeating: 5, count: size))
    scene.simulation.write(poison + SimulatedClient.packet([6]), to: offender.socket)
    scene.simulation.settle()
    scene.simulation.write(SimulatedClient.packet([7]), to: neighbour.socket)
    scene.simulation.settle()
    scene.restartBackend()
    scene.simulation.roomOfNewBackends = .max
    scene.restartBackend()
    var packets: [SimulatedBackend.Packet] = []
    while let packet = scene.next() { if packet.flag != .reconnection { packets.append(packet) } }
    #expect(
      packets == [
        .init(id: offender.id, flag: .data, data: [6]), .init(id: neighbour.id, flag: .data, data: [7]),
        scene.failure(offender.id, "backend refused packet"),
      ])
    #expect(!neighbour.socket.relayFinished)
  }

  @Test func sessionsAreDroppedWithTheBackendAndNewcomersRefused() throws {
    let scene = try SessionScene { $0.backendLoss = .drop }
    let member = scene.join()
    scene.simulation.backendListens = false
    scene.simulation.reset(scene.backend.socket)
    scene.simulation.settle()
    #expect(member.socket.relayFinished)
    let newcomer = scene.simulation.connect(shard: 1)
    scene.simulation.settle()
    #expect(newcomer.relayClosed)
    scene.simulation.backendListens = true
    scene.simulation.pass(5 * Limits.second)
    scene.backend = SimulatedBackend(scene.simulation.backends.last!)
    #expect(scene.next() == scene.failure(member.id, "backend lost"))
    _ = scene.join()
  }

  @Test func heldSessionsAreDroppedAfterTheBackendLossTimeout() throws {
    let scene = try SessionScene { $0.backendLossTimeout = .seconds(20) }
    let member = scene.join()
    scene.simulation.backendListens = false
    scene.simulation.reset(scene.backend.socket)
    scene.simulation.pass(19 * Limits.second)
    #expect(!member.socket.relayFinished)
    scene.simulation.pass(2 * Limits.second)
    #expect(member.socket.relayFinished)
  }

  @Test func aBackendThatAcknowledgesNothingIsLost() throws {
    let scene = try SessionScene { $0.backendTimeout = .seconds(30) }
    _ = scene.join()
    scene.backend.socket.silence = 29 * Limits.second
    scene.simulation.pass(40 * Limits.second)
    #expect(scene.simulation.backends.count == 1)
    scene.backend.socket.silence = 30 * Limits.second
    scene.simulation.pass(10 * Limits.second)
    #expect(scene.simulation.backends.count == 2)
  }

  /// It has not been asked for anything for longer than its time, and is then not late with its first answer.
  @Test func aBackendThatHadNothingToAcknowledgeIsNotLost() throws {
    let scene = try SessionScene { $0.backendTimeout = .seconds(30) }
    _ = scene.join()
    scene.simulation.pass(100 * Limits.second)
    scene.backend.socket.silence = 100 * Limits.second
    scene.simulation.pass(20 * Limits.second)
    #expect(scene.simulation.backends.count == 1)
    // It answers, and has its whole time again.
    scene.backend.socket.silence = 0
    scene.simulation.pass(5 * Limits.second)
    scene.backend.socket.silence = 200 * Limits.second
    scene.simulation.pass(25 * Limits.second)
    #expect(scene.simulation.backends.count == 1)
    scene.simulation.pass(15 * Limits.second)
    #expect(scene.simulation.backends.count == 2)
  }

  // MARK: The relay's end

  /// Whatever the order in which the relay's threads learn of the end, and however little each read brings.
  @Test(arguments: [1, 2]) func whatTheBackendHadSentIsDeliveredAtTheRelaysEnd(shards: Int) throws {
    for seed in 1...30 as ClosedRange<UInt64> {
      let scene = try SessionScene(seed: seed, shards: shards)
      var members = (0..<4).map { scene.join(shard: $0 % shards) }
      for number in 0..<100 as Range<UInt8> {
        let member = members[Int(number) % members.count]
        scene.simulation.write(SimulatedBackend.packet(member.id, .data, [number]), to: scene.backend.socket)
      }
      scene.simulation.write(SimulatedBackend.packet(members[3].id, .kick), to: scene.backend.socket)
      scene.simulation.drain()
      scene.simulation.settle()
      for index in members.indices {
        for number in 0..<25 { #expect(members[index].client.next() == [UInt8(4 * number + index)], "seed \(seed)") }
        #expect(members[index].client.next() == nil && members[index].socket.relayFinished)
      }
      var reasons: [UInt64: String] = [:]
      while let packet = scene.next() {
        #expect(packet.flag == .failure && reasons[packet.id] == nil)
        reasons[packet.id] = String(decoding: packet.data, as: UTF8.self)
      }
      #expect(reasons.removeValue(forKey: members[3].id) == "kicked")
      #expect(reasons == Dictionary(uniqueKeysWithValues: members.prefix(3).map { ($0.id, "relay draining") }))
      for socket in members.map(\.socket) + [scene.backend.socket] { scene.simulation.finish(socket) }
      scene.simulation.settle()
      #expect(scene.simulation.isFinished)
    }
  }

  /// A backend that never stops sending does not keep the relay.
  @Test func aBackendThatGoesOnSendingIsCutOffAtTheRelaysEnd() throws {
    let scene = try SessionScene()
    let member = scene.join()
    scene.simulation.drain()
    let packet = SimulatedBackend.packet(member.id, .data, [UInt8](repeating: 1, count: 500))
    while !member.socket.relayFinished {
      for _ in 0..<100 { scene.simulation.write(packet, to: scene.backend.socket) }
      scene.simulation.pass(50 * Limits.millisecond)
      #expect(scene.simulation.now < 60 * Limits.second)
    }
    #expect(scene.next() == scene.failure(member.id, "relay draining"))
  }

  @Test func stalePeopleAndAttemptsEndWithTheRelay() throws {
    let scene = try SessionScene()
    let stale = scene.join(shard: 0)
    let attached = scene.join(shard: 1)
    scene.simulation.reset(stale.socket)
    scene.simulation.settle()
    let attempt = scene.attempt(stale.id)
    scene.simulation.drain()
    scene.simulation.settle()
    #expect(attempt.socket.relayFinished && attached.socket.relayFinished)
    var ended: Set<UInt64> = []
    while let packet = scene.next() {
      #expect(packet == scene.failure(packet.id, "relay draining"))
      ended.insert(packet.id)
    }
    #expect(ended == [stale.id, attached.id])
    for socket in [attempt.socket, attached.socket, scene.backend.socket] { scene.simulation.finish(socket) }
    scene.simulation.settle()
    #expect(scene.simulation.isFinished)
  }
}
