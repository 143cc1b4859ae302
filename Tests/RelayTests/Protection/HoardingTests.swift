import Testing
import VoltlaneWire

@testable import Relay

/// Clients that make the relay hold what is sent to them: however they do it, what waits for one stays bounded, and
/// those that read are slowed down instead of ended.
@Suite struct HoardingTests {
  private static let sendBuffer = 64 << 10
  private static let largest = 128 << 10

  private func scene(_ configure: (inout RelayConfiguration) -> Void = { _ in }) throws -> SessionScene {
    let scene = try SessionScene(shards: 1) {
      $0.clientSendBuffer = Self.sendBuffer
      $0.maxPacketSize = Self.largest
      $0.missedPacketsBuffer = Self.sendBuffer
      $0.protection.slowClientTimeout = nil
      configure(&$0)
    }
    scene.simulation.roughness = 0
    return scene
  }

  private func packet(_ size: Int) -> [UInt8] { [UInt8](repeating: 5, count: size) }

  /// A packet as it comes from a client.
  private func framed(_ data: [UInt8]) -> [UInt8] {
    withUnsafeBytes(of: UInt32(data.count).littleEndian, Array.init) + data
  }

  /// A member comes back on a socket that takes so much, and the ping.
  private func comeBack(_ scene: SessionScene, _ member: SessionScene.Member, room: Int) -> SessionScene.Member {
    let attempt = scene.attempt(member.id)
    attempt.socket.room = 5 + room
    return scene.finish(attempt)
  }

  // MARK: Coming back

  /// A client reads nothing, or next to nothing, and comes back again and again: what waits for it stays below twice
  /// the send buffer and two packets.
  @Test(arguments: [Self.largest, 30 << 10, 100], [0, 1000])
  func whoComesBackWithoutReadingHoldsNoMore(size: Int, room: Int) throws {
    let scene = try scene()
    var member = scene.join()
    let bound = 2 * Self.sendBuffer + 2 * (Self.largest + Wire.sizePrefix)
    var most = 0
    for _ in 0..<40 {
      member.socket.room = room
      for _ in 0..<(size < 1000 ? 200 : 1) where !member.socket.relayFinished { scene.send(member.id, packet(size)) }
      most = max(most, scene.simulation.parts.memory.waitingBytes)
      if scene.simulation[.endedBufferOverflow] > 0 { break }
      member = comeBack(scene, member, room: room)
      most = max(most, scene.simulation.parts.memory.waitingBytes)
    }
    #expect(scene.simulation[.endedBufferOverflow] == 1)
    #expect(most <= bound + 2 * Limits.pendingPieceMost, "\(most) bytes of memory against \(bound)")
  }

  /// The same by going away: the session is stale in between, and packets come then as well.
  @Test func whoGoesAwayWithoutReadingHoldsNoMore() throws {
    let scene = try scene()
    var member = scene.join()
    let bound = 2 * Self.sendBuffer + 2 * (Self.largest + Wire.sizePrefix)
    for _ in 0..<40 where scene.simulation[.endedBufferOverflow] == 0 {
      member.socket.room = 0
      scene.send(member.id, packet(Self.largest))
      scene.simulation.reset(member.socket)
      scene.simulation.settle()
      if scene.simulation[.endedBufferOverflow] == 0 { scene.send(member.id, packet(Self.largest)) }
      #expect(scene.simulation.parts.missedBudget.charged <= bound + 2 * Limits.pendingPieceMost)
      if scene.simulation[.endedBufferOverflow] == 0 { member = comeBack(scene, member, room: 0) }
    }
    #expect(scene.simulation[.endedBufferOverflow] == 1)
  }

  /// Changing state ends nobody, in either direction, and all that waited is delivered in order.
  @Test func changingStateLosesNothing() throws {
    let scene = try scene()
    var member = scene.join()
    member.socket.room = 0
    var sent = 0
    func send() {
      scene.send(member.id, [UInt8](repeating: UInt8(sent), count: 25_000))
      sent += 1
    }
    for _ in 0..<3 { send() }
    scene.simulation.reset(member.socket)
    scene.simulation.settle()
    for _ in 0..<2 { send() }
    member = scene.comeBack(member.id)
    #expect(member.client.next() == [0], "the ping")
    for number in 0..<sent { #expect(member.client.next() == [UInt8](repeating: UInt8(number), count: 25_000)) }
    #expect(scene.simulation[.sessionsEnded] == 0)
    #expect(scene.simulation.parts.memory.waitingBytes == 0)
  }

  // MARK: Being slow

  /// The clock of a client that takes nothing goes on when it comes back: it cannot be slow for ever that way.
  @Test(arguments: [false, true])
  func theClockOfASlowClientGoesOn(isStaleInBetween: Bool) throws {
    let scene = try scene { $0.protection.slowClientTimeout = .seconds(10) }
    var member = scene.join()
    member.socket.room = 0
    for _ in 0..<3 { scene.send(member.id, packet(20_000)) }
    var rounds = 0
    while scene.simulation[.endedSlowClient] == 0, rounds < 20 {
      scene.simulation.pass(4 * Limits.second)
      guard scene.simulation[.endedSlowClient] == 0 else { break }
      if isStaleInBetween {
        scene.simulation.reset(member.socket)
        // It does not run meanwhile.
        scene.simulation.pass(60 * Limits.second)
      }
      member = comeBack(scene, member, room: 1000)
      rounds += 1
    }
    #expect(scene.simulation[.endedSlowClient] == 1)
    #expect(rounds == 2)
  }

  /// A client that comes back and reads is not slow, whatever it was before.
  @Test func whoReadsAgainIsNotSlow() throws {
    let scene = try scene { $0.protection.slowClientTimeout = .seconds(10) }
    var member = scene.join()
    member.socket.room = 0
    for _ in 0..<3 { scene.send(member.id, packet(20_000)) }
    scene.simulation.pass(8 * Limits.second)
    member = comeBack(scene, member, room: 1000)
    #expect(member.client.next() == [0], "the ping")
    for _ in 0..<20 {
      scene.simulation.pass(1_500_000_000)
      scene.simulation.allow(2000, member.socket)
      scene.simulation.settle()
    }
    scene.simulation.allow(.max, member.socket)
    scene.simulation.settle()
    for _ in 0..<3 { #expect(member.client.next() == packet(20_000)) }
    #expect(scene.simulation[.sessionsEnded] == 0)
  }

  // MARK: Backlog

  /// A client that sends faster than it takes the answers is not read while much waits for it, and nothing is lost.
  @Test func whoTakesTooLittleIsNotRead() throws {
    let scene = try scene()
    let member = scene.join()
    member.socket.room = 0
    for _ in 0..<2 { scene.send(member.id, packet(20_000)) }
    scene.simulation.write(framed([1]), to: member.socket)
    scene.simulation.settle()
    #expect(scene.next()?.data == nil, "more than half of the send buffer waits for it")
    // Not yet: a quarter is still to come.
    scene.simulation.allow(20_100, member.socket)
    scene.simulation.settle()
    #expect(scene.next() == nil)
    scene.simulation.allow(10_000, member.socket)
    scene.simulation.settle()
    #expect(scene.next() == nil, "the packet that was begun is still kept")
    scene.simulation.allow(.max, member.socket)
    scene.simulation.settle()
    #expect(scene.next()?.data == [1])
    scene.simulation.write(framed([2]), to: member.socket)
    scene.simulation.settle()
    #expect(scene.next()?.data == [2])
  }

  /// While a client is not read, its reset and its FIN are noticed all the same, and so is the end of its session.
  @Test(arguments: ["reset", "finish", "kick"])
  func whoIsNotReadIsNoticedToBeGone(how: String) throws {
    let scene = try scene { $0.halfCloseTimeout = .seconds(1) }
    let member = scene.join()
    member.socket.room = 0
    for _ in 0..<2 { scene.send(member.id, packet(20_000)) }
    switch how {
    case "reset":
      // What it had sent and was not read goes with it.
      scene.simulation.write(framed([1]), to: member.socket)
      scene.simulation.settle()
      scene.simulation.reset(member.socket)
    case "finish": scene.simulation.finish(member.socket)
    default: scene.send(member.id, [], .kick)
    }
    scene.simulation.pass(3 * Limits.second)
    if how == "kick" {
      #expect(scene.next() == scene.failure(member.id, "kicked"))
    } else {
      #expect(scene.simulation[.sessionsGoneStale] == 1)
      #expect(scene.next() == nil)
    }
  }

  /// While a client is not read, no deadline of what it sends runs.
  @Test func whoIsNotReadHasAllTheTime() throws {
    let scene = try scene {
      $0.packetTimeout = .seconds(5)
      $0.protection.idleTimeout = .seconds(5)
    }
    let member = scene.join()
    // An unfinished packet, two seconds old.
    scene.simulation.write([4, 0, 0, 0, 1, 2], to: member.socket)
    scene.simulation.pass(2 * Limits.second)
    member.socket.room = 0
    for _ in 0..<2 { scene.send(member.id, packet(20_000)) }
    scene.simulation.write([3, 4], to: member.socket)
    scene.simulation.pass(60 * Limits.second)
    #expect(scene.simulation[.sessionsEnded] == 0)
    scene.simulation.allow(.max, member.socket)
    scene.simulation.settle()
    #expect(scene.next()?.data == [1, 2, 3, 4])
    // From then on they run again.
    scene.simulation.pass(6 * Limits.second)
    #expect(scene.next() == scene.failure(member.id, "idle timeout"))
  }

  /// A rate that a client was over, and a backlog, are two reasons not to read it: both have to be gone.
  @Test func twoReasonsNotToRead() throws {
    let scene = try scene {
      $0.protection.clientPacketRate = Rate(1, per: .second)
      $0.clientSendBuffer = 20_000
    }
    let member = scene.join()
    for _ in 0..<5 { scene.simulation.write(framed([1]), to: member.socket) }
    scene.simulation.settle()
    for _ in 0..<5 { #expect(scene.next()?.data == [1]) }
    member.socket.room = 0
    for _ in 0..<2 { scene.send(member.id, packet(12_000)) }
    scene.simulation.write(framed([2]), to: member.socket)
    scene.simulation.pass(20 * Limits.second)
    #expect(scene.next() == nil, "it is within its rate, but much waits for it")
    scene.simulation.allow(.max, member.socket)
    scene.simulation.settle()
    #expect(scene.next()?.data == [2])
  }
}
