import Testing
import VoltlaneWire

@testable import Relay

/// What the backend is told of where clients connect from, where it wants to be told (`--addresses on`).
@Suite struct AddressTests {
  private func scene(
    seed: UInt64 = 1, shards: Int = 2, configure: (inout RelayConfiguration) -> Void = { _ in }
  ) throws -> SessionScene {
    try SessionScene(seed: seed, shards: shards) {
      $0.tellsAddresses = true
      configure(&$0)
    }
  }

  private static let v4 = ClientAddress(v4: 0xc000_0207)
  private static let v6 = ClientAddress(bits: 0x2001_0db8_0000_0000_0000_0000_0000_0007)

  private func address(_ id: UInt64, _ data: [UInt8]) -> SimulatedBackend.Packet {
    .init(id: id, flag: .address, data: data)
  }

  private func port(_ socket: SimulatedSocket) -> [UInt8] {
    [UInt8(truncatingIfNeeded: socket.peerPort), UInt8(truncatingIfNeeded: socket.peerPort >> 8)]
  }

  private func hello(_ last: UInt8, _ socket: SimulatedSocket) -> [UInt8] { [4, 192, 0, 2, last] + port(socket) }

  private static func written(_ origin: ClientOrigin) -> [UInt8] {
    let (bytes, count) = origin.encoded
    return (0..<count).map { bytes[$0] }
  }

  @Test func isWrittenAsTheLibraryReadsIt() {
    let quad = Self.written(ClientOrigin(Self.v4, port: 50_000))
    #expect(PeerAddress(quad.span.bytes) == .v4([192, 0, 2, 7], port: 50_000))
    let long = Self.written(ClientOrigin(Self.v6, port: 443))
    let bytes: [UInt8] = [0x20, 1, 0x0d, 0xb8] + Array(repeating: 0, count: 11) + [7]
    #expect(long.count == ClientOrigin.longest && PeerAddress(long.span.bytes) == .v6(bytes, port: 443))
    for origin in [ClientOrigin.unknown, ClientOrigin(.none, port: 9)] {
      #expect(Self.written(origin) == [0, 0, 0] && PeerAddress(Self.written(origin).span.bytes) == .unknown)
    }
  }

  @Test(arguments: 1...5 as ClosedRange<UInt64>) func isTheFirstThatIsHeardOfASession(seed: UInt64) throws {
    let scene = try scene(seed: seed)
    let socket = scene.simulation.connect(shard: 1, address: Self.v4)
    // Data in the same read as the key.
    scene.simulation.write(SimulatedClient.hello + SimulatedClient.packet([1]), to: socket)
    scene.simulation.settle()
    var client = SimulatedClient(socket)
    let given = client.readHandshake()
    let id = try #require(given)
    #expect(scene.next() == address(id, hello(7, socket)))
    #expect(scene.next() == scene.data(id, [1]))
    #expect(scene.next() == nil && scene.simulation[.addressesTold] == 1)
  }

  @Test func isNotToldUnlessAskedFor() throws {
    let scene = try SessionScene()
    let member = scene.join()
    _ = scene.comeBack(member.id)
    #expect(scene.next() == scene.reconnection(member.id))
    #expect(scene.next() == nil && scene.simulation[.addressesTold] == 0)
  }

  /// A client that comes back, through whichever shard, may come from elsewhere; one on a unix socket from nowhere.
  @Test(arguments: 0..<2) func followsEachReturn(shard: Int) throws {
    let scene = try scene { $0.tellsAway = true }
    let member = scene.join(shard: 0, address: Self.v4)
    #expect(scene.next() == address(member.id, hello(7, member.socket)))
    scene.simulation.reset(member.socket)
    scene.simulation.settle()
    #expect(scene.next()?.flag == .away)
    let back = scene.finish(scene.attempt(member.id, shard: shard, address: Self.v6), also: SimulatedClient.packet([2]))
    #expect(scene.next() == scene.reconnection(member.id))
    let packet = try #require(scene.next())
    #expect(packet.flag == .address && packet.id == member.id && packet.data.count == ClientOrigin.longest)
    #expect(packet.data.first == 6 && Array(packet.data.suffix(3)) == [7] + port(back.socket))
    #expect(scene.next() == scene.data(member.id, [2]))
    // Without a connection of its own being lost first.
    let again = scene.finish(scene.attempt(member.id, shard: shard, address: ClientAddress.none))
    #expect(scene.next() == scene.reconnection(member.id))
    #expect(scene.next() == address(again.id, [0, 0, 0]))
    #expect(scene.next() == nil)
  }

  /// In the sweep each 0x03 is followed by the session's 0x07, and a stale one's by its 0x04 behind that.
  @Test(arguments: 1...5 as ClosedRange<UInt64>, [true, false])
  func theSweepSaysWhoIsWhere(seed: UInt64, tellsAway: Bool) throws {
    let scene = try scene(seed: seed) { $0.tellsAway = tellsAway }
    let members = scene.restartBackendWithThreeOfSixAway { ClientAddress(v4: 0xc000_0200 | UInt32($0)) }
    let gone = Set(members.prefix(3).map(\.id))
    var named: Set<UInt64> = []
    while let packet = scene.next() {
      #expect(packet == scene.reconnection(packet.id))
      named.insert(packet.id)
      let number = try #require(members.firstIndex { $0.id == packet.id })
      #expect(scene.next() == address(packet.id, hello(UInt8(number), members[number].socket)))
      if tellsAway, gone.contains(packet.id) { #expect(scene.next()?.flag == .away) }
    }
    #expect(named == Set(members.map(\.id)))
  }

  /// What a trusted load balancer says, in either version, where it says who it is.
  @Test func isTheClientsBehindALoadBalancer() throws {
    let scene = try scene { $0.protection.proxies = [try! Network("127.0.0.0/8")] }
    let binary: [UInt8] =
      [0x0d, 0x0a, 0x0d, 0x0a, 0, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a, 0x21, 0x11, 0, 12, 192, 0, 2, 9]
      + [192, 0, 2, 1, 0x30, 0x39, 0, 80]
    let headers: [([UInt8], [UInt8]?)] = [
      (Array("PROXY TCP4 192.0.2.9 192.0.2.1 12345 80\r\n".utf8), [4, 192, 0, 2, 9, 0x39, 0x30]),
      (Array("PROXY TCP6 ::ffff:192.0.2.9 ::1 12345 80\r\n".utf8), [4, 192, 0, 2, 9, 0x39, 0x30]),
      (binary, [4, 192, 0, 2, 9, 0x39, 0x30]),
      // Its own connection.
      (Array("PROXY UNKNOWN\r\n".utf8), nil),
    ]
    for (header, expected) in headers {
      let socket = scene.simulation.connect(shard: 0)
      scene.simulation.write(header + SimulatedClient.hello, to: socket)
      scene.simulation.settle()
      var client = SimulatedClient(socket)
      let given = client.readHandshake()
      let id = try #require(given)
      #expect(scene.next() == address(id, expected ?? [4, 127, 0, 0, 1] + port(socket)))
    }
    #expect(scene.next() == nil)
  }

  /// The backend takes nothing, and all but the reserved room is used: the packets of `flooding`, and answers.
  private func fillUplink(_ scene: SessionScene) -> SessionScene.Member {
    let flooding = scene.join()
    scene.backend.socket.room = 0
    let packets = (0..<1200).flatMap { _ in SimulatedClient.packet([UInt8](repeating: 1, count: 1000)) }
    scene.simulation.write(packets, to: flooding.socket)
    scene.simulation.settle()
    // Answers take all but the reserved room, and these take more than that.
    let answers = (0..<6000).flatMap { _ in SimulatedBackend.packet(12_345) }
    scene.simulation.write(answers, to: scene.backend.socket)
    scene.simulation.settle()
    #expect(scene.simulation[.answersDropped] > 0)
    return flooding
  }

  /// Many clients come and go while the backend takes nothing: one that comes back is let in nevertheless, and what is
  /// owed of itself is said before.
  @Test func newcomersLeaveRoomForThoseWhoComeBack() throws {
    let scene = try scene(shards: 1) { $0.tellsAway = true }
    let member = scene.join()
    let flooding = fillUplink(scene)
    scene.simulation.reset(member.socket)
    scene.simulation.settle()
    var late: [SessionScene.Member] = []
    for number in 0..<UInt32(Limits.uplinkReserve / 32 + 100) {
      let newcomer = scene.join(address: ClientAddress(v4: 0x0a00_0001 | number << 8))
      if number % 2 == 0 { scene.simulation.reset(newcomer.socket) }
      late.append(newcomer)
    }
    scene.simulation.settle()
    var back = scene.comeBack(member.id)
    #expect(back.client.next() == [0])
    // Nobody has heard of this one.
    let unheard = late[10].id
    var other = scene.comeBack(unheard)
    #expect(other.client.next() == [0])
    scene.simulation.allow(.max, scene.backend.socket)
    scene.simulation.settle()
    var heard: [UInt64: [SimulatedBackend.Flag]] = [:]
    while let packet = scene.next() {
      if packet.id != flooding.id, packet.id != 12_345 { heard[packet.id, default: []].append(packet.flag) }
    }
    #expect(heard[member.id] == [.address, .away, .reconnection, .address])
    #expect(heard[unheard] == [.address, .away, .reconnection, .address])
    for (number, newcomer) in late.enumerated() where number != 10 {
      #expect(heard[newcomer.id] == (number % 2 == 0 ? [.address, .away] : [.address]))
    }
  }

  /// Until the reserved room is used up to its last bytes, by returns of different sizes: whoever finds none waits.
  @Test(arguments: 0..<12) func everyRemainderOfTheReserveHolds(heardFirst: Int) throws {
    let scene = try scene(shards: 1) { $0.tellsAway = true }
    let member = scene.join()
    let flooding = fillUplink(scene)
    let late = (0..<UInt32(Limits.uplinkReserve / 40)).map { number in
      let newcomer = scene.join(address: ClientAddress(v4: 0x0a00_0001 | number << 8))
      scene.simulation.reset(newcomer.socket)
      return newcomer.id
    }
    scene.simulation.settle()
    // Each of these takes less than one of whom nobody has heard.
    for _ in 0..<heardFirst {
      var back = scene.comeBack(member.id)
      #expect(back.client.next() == [0])
      scene.simulation.reset(back.socket)
      scene.simulation.settle()
    }
    var waiting: [SessionScene.Member] = []
    for id in late {
      var back = scene.comeBack(id)
      if back.client.next() == nil { waiting.append(back) }
    }
    #expect(!waiting.isEmpty && waiting.count < late.count)
    scene.simulation.allow(.max, scene.backend.socket)
    scene.simulation.settle()
    for index in waiting.indices { #expect(waiting[index].client.next() == [0]) }
    var heard: [UInt64: [SimulatedBackend.Flag]] = [:]
    while let packet = scene.next() {
      if packet.id != flooding.id, packet.id != 12_345 { heard[packet.id, default: []].append(packet.flag) }
    }
    for id in late { #expect(heard[id] == [.address, .away, .reconnection, .address]) }
  }

  /// While the uplink has no room, a session that begins, goes away and ends is told of in order, and none of its data
  /// goes before.
  @Test func waitsForRoomInOrder() throws {
    let scene = try scene(shards: 1) { $0.tellsAway = true }
    let flooding = fillUplink(scene)
    var late: [SessionScene.Member] = []
    for number in 0..<UInt32(Limits.uplinkReserve / 32 + 100) {
      late.append(scene.join(address: ClientAddress(v4: 0x0a00_0001 | number << 8)))
    }
    for member in late.suffix(20) { scene.simulation.write(SimulatedClient.packet([7]), to: member.socket) }
    for member in late.suffix(40).prefix(20) { scene.simulation.reset(member.socket) }
    scene.simulation.settle()
    for member in late.suffix(40) {
      scene.simulation.write(SimulatedBackend.packet(member.id, .kick), to: scene.backend.socket)
    }
    scene.simulation.settle()
    scene.simulation.allow(.max, scene.backend.socket)
    scene.simulation.settle()
    var heard: [UInt64: [SimulatedBackend.Flag]] = [:]
    while let packet = scene.next() {
      if packet.id != flooding.id, packet.id != 12_345 { heard[packet.id, default: []].append(packet.flag) }
    }
    for (number, member) in late.enumerated() {
      let place = number - (late.count - 40)
      let expected: [SimulatedBackend.Flag] =
        place < 0 ? [.address] : place < 20 ? [.address, .away, .failure] : [.address, .failure]
      #expect(heard[member.id]?.filter { $0 != .data } == expected)
      #expect(heard[member.id]?.first == .address)
    }
  }
}
