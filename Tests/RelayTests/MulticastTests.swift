import Testing
import VoltlaneWire

@testable import Relay

/// Packets for many clients, and those that are worth nothing later.
@Suite struct MulticastTests {
  private typealias Member = SessionScene.Member

  private static let ping: [UInt8] = [0]

  private func multicast(_ scene: SessionScene, _ ids: [UInt64], _ data: [UInt8], _ kind: SimulatedBackend.Flag = .data)
  {
    scene.simulation.write(
      SimulatedBackend.multicast(ids, data, isVolatile: kind == .volatile), to: scene.backend.socket)
    scene.simulation.settle()
  }

  /// Sends a tagged packet as it is.
  private func write(_ scene: SessionScene, _ flag: UInt8, _ data: [UInt8]) {
    let packet = [UInt8](repeating: 0, count: Wire.clientID) + [flag] + data
    scene.simulation.write(Wire.sizePrefixBytes(packet.count) + packet, to: scene.backend.socket)
    scene.simulation.settle()
  }

  // MARK: Volatile packets

  @Test func aVolatilePacketIsDeliveredAsOthersAre() throws {
    let scene = try SessionScene()
    var member = scene.join()
    scene.send(member.id, [1])
    for number in 2..<30 as Range<UInt8> { scene.send(member.id, [number], .volatile) }
    scene.send(member.id, [30])
    for number in 1...30 as ClosedRange<UInt8> { #expect(member.client.next() == [number]) }
    #expect(scene.simulation[.packetsDown] == 30 && scene.simulation[.volatileDropped] == 0)
  }

  @Test func aVolatilePacketForNobodyIsNotAnswered() throws {
    let scene = try SessionScene()
    let member = scene.join()
    scene.send(member.id ^ 1, [1], .volatile)
    #expect(scene.next() == nil)
    #expect(scene.simulation[.volatileDropped] == 1 && scene.simulation[.packetsUnknownClient] == 0)
  }

  @Test func nothingVolatileIsKeptForAStaleSession() throws {
    let scene = try SessionScene { $0.missedPacketsBuffer = 0 }
    let member = scene.join()
    scene.simulation.reset(member.socket)
    scene.simulation.settle()
    for _ in 0..<100 { scene.send(member.id, [1], .volatile) }
    #expect(scene.next() == nil)
    #expect(scene.simulation[.volatileDropped] == 100)
    var back = scene.comeBack(member.id)
    #expect(back.client.next() == Self.ping)
    scene.send(member.id, [2], .volatile)
    #expect(back.client.next() == [2])
  }

  /// Behind others while less than a quarter of the buffer waits, and in order; then dropped. It ends nobody.
  @Test func volatilePacketsWaitWhileLittleWaits() throws {
    let scene = try SessionScene { $0.clientSendBuffer = 400 }
    scene.simulation.roughness = 0
    var member = scene.join()
    member.socket.room = 0
    // 24 bytes each; with the fifth, 120 of 400 wait.
    let packets = (0..<40 as Range<UInt8>).map { [UInt8](repeating: $0, count: 20) }
    for (index, packet) in packets.enumerated() { scene.send(member.id, packet, index == 0 ? .data : .volatile) }
    #expect(scene.simulation[.volatileDropped] == 35)
    scene.send(member.id, [40])
    #expect(scene.next() == nil)
    scene.simulation.allow(.max, member.socket)
    scene.simulation.settle()
    for packet in packets[..<5] { #expect(member.client.next() == packet) }
    #expect(member.client.next() == [40])
    #expect(member.client.next() == nil)
  }

  /// What waits when the socket is lost: others are missed packets, volatile ones are not.
  @Test func whatIsVolatileIsDroppedWithTheSocket() throws {
    let scene = try SessionScene()
    scene.simulation.roughness = 0
    let member = scene.join()
    // The first, which is volatile, is begun.
    member.socket.room = 2
    for number in 0..<9 as Range<UInt8> { scene.send(member.id, [number], number % 3 == 1 ? .data : .volatile) }
    scene.simulation.reset(member.socket)
    scene.simulation.settle()
    #expect(scene.simulation[.volatileDropped] == 6)
    var back = scene.comeBack(member.id)
    #expect(back.client.next() == Self.ping)
    for number in [1, 4, 7] as [UInt8] { #expect(back.client.next() == [number]) }
    #expect(back.client.next() == nil)
  }

  // MARK: Multicasts

  @Test(arguments: 1...10 as ClosedRange<UInt64>)
  func aMulticastReachesEachOfItsClients(seed: UInt64) throws {
    let scene = try SessionScene(seed: seed, shards: 3)
    var members = (0..<20).map { scene.join(shard: $0 % 3) }
    let others = scene.join()
    let sizes = [0, 1, 100, 5000, 70_000]
    for size in sizes {
      // In order with what goes to one of them.
      scene.send(members[7].id, [1])
      multicast(scene, members.map(\.id) + [members[3].id], [UInt8](repeating: 7, count: size))
      scene.send(members[7].id, [2])
    }
    for index in members.indices {
      for size in sizes {
        if index == 7 { #expect(members[index].client.next() == [1]) }
        for _ in 0..<(index == 3 ? 2 : 1) {
          #expect(members[index].client.next() == [UInt8](repeating: 7, count: size))
        }
        if index == 7 { #expect(members[index].client.next() == [2]) }
      }
      #expect(members[index].client.next() == nil)
    }
    var other = others.client
    #expect(other.next() == nil)
    #expect(scene.simulation[.multicasts] == UInt64(sizes.count))
  }

  /// Each client gets it as a packet of that kind by itself: one is unknown, one is away, one does not read.
  @Test(arguments: [SimulatedBackend.Flag.data, .volatile]) func oneClientIsNotTheOthersConcern(
    kind: SimulatedBackend.Flag
  ) throws {
    let scene = try SessionScene { $0.clientSendBuffer = 50 }
    scene.simulation.roughness = 0
    var (reader, away, slow) = (scene.join(), scene.join(shard: 1), scene.join())
    let unknown = reader.id ^ 1
    scene.simulation.reset(away.socket)
    slow.socket.room = 0
    scene.simulation.settle()
    for number in 0..<9 as Range<UInt8> {
      multicast(scene, [unknown, away.id, slow.id, reader.id], [UInt8](repeating: number, count: 10), kind)
    }
    for number in 0..<9 as Range<UInt8> { #expect(reader.client.next() == [UInt8](repeating: number, count: 10)) }
    var said: [SimulatedBackend.Packet] = []
    while let packet = scene.next() { said.append(packet) }
    let isData = kind == .data
    #expect(said.count { $0 == scene.failure(unknown, "unknown client") } == (isData ? 9 : 0))
    #expect(said.count { $0 == scene.failure(slow.id, "buffer overflow") } == (isData ? 1 : 0))
    // The fifth of 14 bytes found 56 of 50 waiting.
    #expect(said.count { $0 == scene.failure(slow.id, "unknown client") } == (isData ? 4 : 0))
    #expect(said.count == (isData ? 14 : 0))
    away = scene.comeBack(away.id, shard: 1)
    #expect(away.client.next() == Self.ping)
    for number in 0..<9 as Range<UInt8> where isData {
      #expect(away.client.next() == [UInt8](repeating: number, count: 10))
    }
    #expect(away.client.next() == nil)
  }

  /// More clients than a lane has room for: the rest waits where it is.
  @Test func aLongListWaitsForRoomInTheLanes() throws {
    let scene = try SessionScene { $0.clientSendBuffer = 8 << 20 }
    scene.simulation.roughness = 0
    var member = scene.join()
    let count = Multicast.maxIDs
    #expect(count > Limits.downlinkLane)
    multicast(scene, Array(repeating: member.id, count: count), [1, 2])
    scene.send(member.id, [3])
    for _ in 0..<count { #expect(member.client.next() == [1, 2]) }
    #expect(member.client.next() == [3])
  }

  /// The list does not count towards the largest packet, and only a multicast may be larger.
  @Test func theListIsBesideTheLargestPacket() throws {
    let scene = try SessionScene { $0.maxPacketSize = 100 }
    var member = scene.join()
    let largest = [UInt8](repeating: 1, count: 100)
    multicast(scene, Array(repeating: member.id, count: 1000), largest)
    for _ in 0..<1000 { #expect(member.client.next() == largest) }
    #expect(scene.simulation[.packetsMalformed] == 0)
    // One byte more is too large for a client: the packet is skipped.
    multicast(scene, [member.id], largest + [1])
    #expect(member.client.next() == nil)
    #expect(scene.simulation[.packetsMalformedMulticast] == 1)
    scene.send(member.id, [2])
    #expect(member.client.next() == [2])
    // With another flag it is the end of the trust in the stream.
    let connections = scene.simulation.backends.count
    scene.send(member.id, largest + [1])
    scene.simulation.pass(Limits.second)
    #expect(scene.simulation.backends.count > connections)
  }

  @Test func whatIsMalformedIsSkipped() throws {
    let scene = try SessionScene()
    var member = scene.join()
    let id = withUnsafeBytes(of: member.id.littleEndian, Array.init)
    let multicast = ExtensionFlag.multicast.rawValue
    let odd: [[UInt8]] = [
      [], [0], [0, 1, 0, 0], [0, 1, 0, 0, 0], [0, 2, 0, 0, 0] + id + [1, 2, 3, 4, 5, 6, 7], [1, 1, 0, 0, 0] + id,
      [6, 1, 0, 0, 0] + id, [0xff, 1, 0, 0, 0] + id, [0, 0xff, 0xff, 0xff, 0xff] + id,
      [0, 0, 0, 0, 0x80] + id,
    ]
    for data in odd { write(scene, multicast, data) }
    #expect(scene.simulation[.packetsMalformedMulticast] == UInt64(odd.count))
    #expect(scene.simulation[.packetsMalformed] == UInt64(odd.count))
    // Nobody to get it, and everybody gets nothing.
    write(scene, multicast, [0, 0, 0, 0, 0, 1, 2, 3])
    write(scene, multicast, [5, 1, 0, 0, 0] + id)
    #expect(member.client.next() == [])
    #expect(member.client.next() == nil)
    #expect(scene.simulation[.packetsMalformed] == UInt64(odd.count))
  }

  /// Clients that do not read hold shares of their own, within the budget of all; those that hold most end, though not
  /// for volatile packets, and who reads gets everything.
  @Test(arguments: [SimulatedBackend.Flag.data, .volatile])
  func aFloodStaysWithinTheBudget(kind: SimulatedBackend.Flag) throws {
    let budget = 8 << 20
    let scene = try SessionScene { $0.protection.memoryBudget = budget }
    scene.simulation.roughness = 0
    var reader = scene.join()
    let slow = (0..<20).map { scene.join(shard: $0 % 2) }
    for member in slow { member.socket.room = 0 }
    let packet = [UInt8](repeating: 9, count: 100 << 10)
    for _ in 0..<40 {
      multicast(scene, slow.map(\.id) + [reader.id], packet, kind)
      #expect(reader.client.next() == packet)
      #expect(scene.simulation.parts.memory.used <= budget)
    }
    #expect((scene.simulation[.endedMemory] > 0) == (kind == .data))
    #expect((scene.simulation[.volatileDropped] > 0) == (kind == .volatile))
    #expect(scene.simulation[.packetsDown] >= 40)
  }

  /// What a relay says is in the wrong direction.
  @Test(arguments: [SimulatedBackend.Flag.away, .address]) func aBackendDoesNotSaySo(flag: SimulatedBackend.Flag) throws
  {
    let scene = try SessionScene()
    let member = scene.join()
    scene.send(member.id, [], flag)
    #expect(scene.simulation[.packetsWrongDirection] == 1)
    #expect(scene.next() == nil)
  }

  /// The backend ends its connection behind a long list: what came whole is delivered, and the next connection's
  /// packets do not go over it.
  @Test func aConnectionThatEndsBehindAListLeavesIt() throws {
    let scene = try SessionScene()
    scene.simulation.roughness = 0
    var member = scene.join()
    let count = 40_000
    let packet = SimulatedBackend.multicast(Array(repeating: member.id, count: count), [5])
    scene.simulation.write(packet, to: scene.backend.socket)
    scene.simulation.finish(scene.backend.socket)
    let connections = scene.simulation[.backendConnections]
    while scene.simulation[.backendConnections] == connections { scene.simulation.pass(100 * Limits.millisecond) }
    scene.backend = SimulatedBackend(scene.simulation.backends.last!)
    scene.send(member.id, [6])
    for _ in 0..<count { #expect(member.client.next() == [5]) }
    #expect(member.client.next() == [6])
  }
}
