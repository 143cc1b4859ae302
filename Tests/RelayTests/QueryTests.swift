import Testing
import VoltlaneWire

@testable import Relay

/// What the control thread asks of shards while they run, over a scripted kernel: who the clients are, to end some of
/// them, and what ended.
@Suite struct QueryTests {
  private static func address(_ last: UInt32) -> ClientAddress { ClientAddress(v4: 0xc000_0200 | last) }

  private static func range(_ text: String) throws -> AddressRange { AddressRange(try Network(text)) }

  /// A relay without limits by address, its backend, and who asks.
  private static func scene(
    seed: UInt64 = 1, configure: (inout RelayConfiguration) -> Void = { _ in }
  ) throws -> (SessionScene, Questioner) {
    let scene = try SessionScene(seed: seed) {
      $0.protection.acceptRatePerAddress = nil
      $0.protection.maxPendingHandshakesPerAddress = nil
      configure(&$0)
    }
    return (scene, Questioner(scene.simulation))
  }

  // MARK: Who is there

  @Test(arguments: [FirehoseCore.own, .shared], 1...3 as ClosedRange<UInt64>)
  func `clients are listed as they are, of all shards`(core: FirehoseCore, seed: UInt64) throws {
    let scene = try SessionScene(seed: seed, firehoseCore: core)
    let questioner = Questioner(scene.simulation)
    #expect(questioner.ask(.clients(ClientFilter())).clients.isEmpty)
    let members = (0..<4).map { scene.join(shard: $0 % 2, address: Self.address(UInt32($0))) }
    for (index, member) in members.enumerated() {
      for _ in 0...index { scene.simulation.write(SimulatedClient.packet([1, 2, 3]), to: member.socket) }
      scene.simulation.settle()
      for _ in 0..<2 * index { scene.send(member.id, [7]) }
    }
    scene.simulation.finish(members[1].socket)
    scene.simulation.reset(members[2].socket)
    scene.simulation.settle()
    scene.send(members[2].id, [1, 2, 3, 4, 5, 6])
    let rows = questioner.ask(.clients(ClientFilter())).clients.sorted { $0.packetsUp < $1.packetsUp }
    #expect(rows.map(\.id) == members.map(\.id))
    #expect(rows.map(\.state) == [.attached, .halfClosed, .stale, .attached])
    #expect(rows.map(\.address) == (0..<4).map { Self.address($0).key })
    #expect(rows.map(\.packetsUp) == [1, 2, 3, 4])
    #expect(rows.map(\.bytesUp) == [3, 6, 9, 12])
    #expect(rows.map(\.packetsDown) == [0, 2, 5, 6])
    #expect(rows.map(\.bytesDown) == [0, 2, 10, 6])
    // What the stale one missed, with its size prefix.
    #expect(rows[2].pendingBytes == 10 && rows[2].memoryBytes >= 10)
    #expect(rows[0].pendingBytes == 0 && rows[0].memoryBytes == 0)
    // All that was carried is somebody's.
    #expect(rows.reduce(0) { $0 + $1.packetsUp } == scene.simulation[.packetsUp])
    #expect(rows.reduce(0) { $0 + $1.bytesUp } == scene.simulation[.bytesUp])
    #expect(rows.reduce(0) { $0 + $1.packetsDown } == scene.simulation[.packetsDown])
    #expect(rows.reduce(0) { $0 + $1.bytesDown } == scene.simulation[.bytesDown])
  }

  @Test func `age and idle time are a client's own, and a packet either way ends being idle`() throws {
    let (scene, questioner) = try Self.scene()
    let tick: UInt64 = 1 << Limits.wheelTickShift
    let members = (0..<3).map { _ in scene.join() }
    scene.simulation.pass(100 * Limits.second)
    scene.simulation.write(SimulatedClient.packet([1]), to: members[0].socket)
    scene.send(members[1].id, [2])
    scene.simulation.pass(10 * Limits.second)
    let rows = questioner.ask(.clients(ClientFilter())).clients
    for (member, idle) in zip(members, [10, 10, 110] as [UInt64]) {
      let row = try #require(rows.first { $0.id == member.id })
      #expect(row.age + tick >= 110 * Limits.second && row.age <= 112 * Limits.second)
      #expect(row.idle + tick >= idle * Limits.second && row.idle <= (idle + 2) * Limits.second)
    }
  }

  @Test func `a client that comes back goes on with its counts`() throws {
    let (scene, questioner) = try Self.scene()
    let member = scene.join()
    func carry(_ socket: SimulatedSocket) {
      scene.simulation.write(SimulatedClient.packet([1, 2]), to: socket)
      scene.send(member.id, [1, 2, 3])
    }
    func expect(_ times: UInt64, missed: UInt64, _ state: ClientRow.State) throws {
      let row = try #require(questioner.ask(.clients(ClientFilter())).clients.first)
      #expect(row.state == state && row.id == member.id)
      #expect([row.packetsUp, row.bytesUp] == [times, 2 * times])
      #expect([row.packetsDown, row.bytesDown] == [times + missed, 3 * times + missed])
    }
    carry(member.socket)
    scene.simulation.reset(member.socket)
    scene.simulation.settle()
    try expect(1, missed: 0, .stale)
    scene.send(member.id, [9])
    try expect(1, missed: 1, .stale)
    let back = scene.comeBack(member.id, shard: 1)
    carry(back.socket)
    try expect(2, missed: 1, .attached)
    // Back once more, before the old connection is known to be gone.
    let again = scene.comeBack(member.id)
    carry(again.socket)
    try expect(3, missed: 1, .attached)
    _ = questioner.ask(.end(id: member.id, .kicked))
    let end = try #require(questioner.ask(.ended).ends.first)
    #expect(end.bytesUp == 6 && end.bytesDown == 10)
  }

  @Test func `counts of a session without a connection stop at the highest that fits`() {
    var count = PackedCount<5>()
    for value in [0, 1, 255, 256, 1 << 32, 1 << 40 - 1] as [UInt64] {
      count.value = value
      #expect(count.value == value)
    }
    for value in [1 << 40, 1 << 40 + 1, .max] as [UInt64] {
      count.value = value
      #expect(count.value == 1 << 40 - 1)
    }
    #expect(MemoryLayout<Session>.stride == 152, "what stale sessions may take is a promise")
  }

  @Test func `what a slow client does not take is shown`() throws {
    let (scene, questioner) = try Self.scene()
    scene.simulation.roughness = 0
    let member = scene.join()
    member.socket.room = 0
    for _ in 0..<3 { scene.send(member.id, Array(repeating: 1, count: 96)) }
    let row = try #require(questioner.ask(.clients(ClientFilter())).clients.first)
    #expect(row.pendingBytes == 300)
    #expect(row.memoryBytes >= 300)
    #expect(row.packetsDown == 3 && row.bytesDown == 288)
  }

  /// The most important bound: a turn looks at so many sessions and no more, however many there are.
  @Test func `a slice is bounded, and slices together have each client once`() throws {
    let (scene, questioner) = try Self.scene()
    scene.simulation.roughness = 0
    scene.simulation.keepsTrace = false
    let members = (0..<300).map { _ in scene.join(shard: 0) }
    let answer = questioner.begin(.clients(ClientFilter()))
    var rounds = 0
    var seen = 0
    while answer.ended == nil {
      questioner.goOn()
      #expect(answer.rows.count - seen <= Limits.querySlice)
      seen = answer.rows.count
      rounds += 1
    }
    #expect(rounds >= 300 / Limits.querySlice)
    #expect(Set(answer.clients.map(\.id)) == Set(members.map(\.id)) && answer.rows.count == members.count)
    // Whoever wants few asks for few.
    #expect(questioner.ask(.clients(ClientFilter()), most: 10).rows.count == 10)
  }

  @Test func `filters by id, address and state`() throws {
    let (scene, questioner) = try Self.scene()
    let members = (0..<4).map { scene.join(shard: $0 % 2, address: Self.address(UInt32($0))) }
    scene.simulation.reset(members[3].socket)
    scene.simulation.settle()
    func ids(_ filter: ClientFilter) -> Set<UInt64> { Set(questioner.ask(.clients(filter)).clients.map(\.id)) }
    for member in members { #expect(ids(ClientFilter(id: member.id)) == [member.id]) }
    for id in [0, 1, .max] as [UInt64] { #expect(ids(ClientFilter(id: id)).isEmpty) }
    #expect(ids(ClientFilter(addresses: try Self.range("192.0.2.1"))) == [members[1].id])
    #expect(ids(ClientFilter(addresses: try Self.range("192.0.2.0/31"))) == [members[0].id, members[1].id])
    #expect(ids(ClientFilter(addresses: try Self.range("192.0.3.0/24"))).isEmpty)
    #expect(ids(ClientFilter(addresses: try Self.range("2001:db8::/32"))).isEmpty)
    #expect(ids(ClientFilter(state: .stale)) == [members[3].id])
    #expect(
      ids(ClientFilter(addresses: try Self.range("192.0.2.0/30"), state: .attached)) == Set(members.prefix(3).map(\.id))
    )
  }

  // MARK: Ending some

  @Test(arguments: 1...3 as ClosedRange<UInt64>)
  func `a session is ended by its id, once, and the backend is told why`(seed: UInt64) throws {
    let (scene, questioner) = try Self.scene(seed: seed)
    let members = (0..<2).map { scene.join(shard: $0) }
    scene.send(members[1].id, [5])
    #expect(questioner.ask(.end(id: members[1].id, .kicked)).ended == 1)
    #expect(scene.next() == scene.failure(members[1].id, "kicked"))
    var client = members[1].client
    #expect(client.next() == [5] && members[1].socket.relayFinished)
    // It is gone: nothing happens, here or to whoever has its slot by now.
    let next = scene.join(shard: 1)
    for id in [members[1].id, 0, 1, .max, 0x1234_5678_9abc_def0] {
      #expect(questioner.ask(.end(id: id, .kicked)).ended == 0)
    }
    #expect(scene.next() == nil)
    #expect(Set(questioner.ask(.clients(ClientFilter())).clients.map(\.id)) == [members[0].id, next.id])
  }

  @Test func `a stale session is ended too`() throws {
    let (scene, questioner) = try Self.scene()
    let member = scene.join()
    scene.simulation.reset(member.socket)
    scene.simulation.settle()
    #expect(questioner.ask(.end(id: member.id, .kicked)).ended == 1)
    #expect(scene.next() == scene.failure(member.id, "kicked"))
    #expect(scene.attempt(member.id).challenge == nil)
  }

  @Test func `all sessions of a network are ended`() throws {
    let (scene, questioner) = try Self.scene()
    let members = (0..<6).map { scene.join(shard: $0 % 2, address: Self.address(UInt32($0))) }
    let filter = ClientFilter(addresses: try Self.range("192.0.2.0/30"))
    #expect(questioner.ask(.endAll(filter, .kicked)).ended == 4)
    #expect(Set(questioner.ask(.clients(ClientFilter())).clients.map(\.id)) == Set(members.suffix(2).map(\.id)))
    var told: Set<UInt64> = []
    while let packet = scene.next() { told.insert(packet.id) }
    #expect(told == Set(members.prefix(4).map(\.id)))
  }

  @Test func `many sessions are ended a slice a turn, also while the backend takes nothing`() throws {
    let (scene, questioner) = try Self.scene()
    scene.simulation.roughness = 0
    scene.simulation.keepsTrace = false
    let members = (0..<200).map { scene.join(shard: $0 % 2) }
    scene.backend.socket.room = 0
    // The uplink has no room left: the backend is told later.
    let flood = SimulatedClient.packet(Array(repeating: 0, count: 8000))
    for _ in 0..<300 { scene.simulation.write(flood, to: members[0].socket) }
    scene.simulation.settle()
    let ids = members.map(\.id)
    let answer = questioner.beginEnd(ids + [0, 1, .max] + ids, .kicked)
    var left = 200
    while answer.ended == nil {
      questioner.goOn()
      let live = 200 - Int(scene.simulation[.sessionsEnded])
      #expect(left - live <= 2 * Limits.querySlice)
      left = live
    }
    #expect(answer.ended == 200 && left == 0)
    scene.simulation.allow(.max, scene.backend.socket)
    scene.simulation.settle()
    var told: [UInt64] = []
    while let packet = scene.next() { if packet.flag == .failure { told.append(packet.id) } }
    #expect(told.count == 200 && Set(told) == Set(ids))
  }

  // MARK: What ended

  @Test func `what ended last is told, newest first, with its reason`() throws {
    let (scene, questioner) = try Self.scene { $0.protection.maxClients = 2 }
    let members = (0..<2).map { scene.join(shard: 0, address: Self.address(UInt32($0))) }
    scene.simulation.write(SimulatedClient.packet([1, 2, 3]), to: members[0].socket)
    scene.send(members[1].id, [9])
    let refused = scene.simulation.connect(shard: 1, address: Self.address(7))
    scene.simulation.pass(5 * Limits.second)
    #expect(refused.relayClosed)
    _ = questioner.ask(.end(id: members[0].id, .kicked))
    scene.simulation.pass(Limits.second)
    _ = questioner.ask(.end(id: members[1].id, .idleTimeout))
    let ended = questioner.ask(.ended).ends
    #expect(ended.map(\.id) == [members[1].id, members[0].id])
    #expect(ended.map(\.address) == [Self.address(1).key, Self.address(0).key])
    #expect(ended[0].bytesDown == 1 && ended[1].bytesUp == 3)
    #expect(ended[0].time >= ended[1].time + Limits.second && ended[1].age >= 4 * Limits.second)
    guard case .session(.idleTimeout) = ended[0].cause, case .session(.kicked) = ended[1].cause else {
      Issue.record("other reasons: \(ended)")
      return
    }
    let refusals = questioner.ask(.refused).ends
    #expect(refusals.map(\.address) == [Self.address(7).key])
    guard case .refusal(.clients)? = refusals.first?.cause else {
      Issue.record("other refusals: \(refusals)")
      return
    }
  }

  @Test func `of what ended, the last ones are kept, and listed in slices`() throws {
    var ends = try RecentEnds()
    func row(_ id: UInt64) -> EndedRow {
      EndedRow(cause: .session(.kicked), id: id, address: .none, time: id, age: 0, bytesUp: 0, bytesDown: 0)
    }
    func list(_ slice: Int) -> [UInt64] {
      var (ids, cursor) = ([UInt64](), UInt64(0))
      while let next = ends.list(before: cursor, count: slice, { ids.append($0.id) }) { cursor = next }
      return ids
    }
    #expect(list(7) == [])
    var appended: UInt64 = 0
    for count in [1, 6, 7, 8, 63, Limits.endedKept - 1, Limits.endedKept, Limits.endedKept + 1, 25_000] {
      while appended < UInt64(count) {
        ends.append(row(appended))
        appended += 1
      }
      let expected = Array((0..<appended).reversed().prefix(Limits.endedKept))
      for slice in [1, 7, Limits.querySlice] {
        let listed = list(slice)
        #expect(listed == expected, "\(count), \(slice)")
      }
    }
    // A place that was overwritten meanwhile has nothing before it.
    let before = ends.list(before: 3, count: 5) { _ in Issue.record("it is gone") }
    #expect(before == nil)
    var newest: UInt64?
    _ = ends.list(before: .max, count: 1) { newest = $0.id }
    #expect(newest == appended - 1)
  }

  // MARK: At any time

  /// Questions of all kinds in the midst of traffic, of clients that come and go, and of one another: every one is
  /// answered, and nobody gets a wrong packet for it.
  @Test(arguments: 1...10 as ClosedRange<UInt64>)
  func `questions are answered in the midst of everything`(seed: UInt64) throws {
    let (scene, questioner) = try Self.scene(seed: seed)
    var members: [SessionScene.Member] = []
    var answers: [Questioner.Answer] = []
    for round in 0..<60 {
      switch scene.simulation.random.below(7) {
      case 0: members.append(scene.join(shard: round % 2, address: Self.address(UInt32(round))))
      case 1:
        if let member = members.randomElement(using: &scene.simulation.random) {
          scene.simulation.reset(member.socket)
        }
      case 2:
        for member in members where !member.socket.relayClosed {
          scene.simulation.write(SimulatedClient.packet([UInt8(round)]), to: member.socket)
        }
      case 3: answers.append(questioner.begin(.clients(ClientFilter())))
      case 4:
        if let member = members.randomElement(using: &scene.simulation.random) {
          answers.append(questioner.beginEnd([member.id, member.id], .kicked))
        }
      case 5: answers.append(questioner.begin(.endAll(ClientFilter(state: .stale), .kicked)))
      default: answers.append(questioner.begin(.ended))
      }
      if scene.simulation.random.oneIn(2) { questioner.goOn() }
    }
    for answer in answers { _ = questioner.finish(answer) }
    #expect(!answers.isEmpty)
    let clients = questioner.ask(.clients(ClientFilter())).clients
    #expect(scene.simulation[.sessionsStarted] == scene.simulation[.sessionsEnded] + UInt64(clients.count))
    #expect(UInt64(questioner.ask(.ended).rows.count) == scene.simulation[.sessionsEnded])
  }

  /// A kick waits for the slice of a list that is under way, and not for the list.
  @Test func `what ends sessions overtakes lists`() throws {
    let scene = try SessionScene(shards: 1)
    let members = (0..<400).map { _ in scene.join() }
    let questioner = Questioner(scene.simulation)
    let lists = (0..<3).map { _ in questioner.begin(.clients(ClientFilter())) }
    let kick = questioner.begin(.end(id: members[7].id, .kicked))
    let kicks = questioner.beginEnd(members[10..<20].map(\.id), .kicked)
    while kicks.ended == nil { questioner.goOn() }
    #expect(kick.ended == 1 && kicks.ended == 10)
    #expect(lists.allSatisfy { $0.ended == nil } && lists[0].rows.count <= 2 * Limits.querySlice)
    for list in lists { _ = questioner.finish(list) }
    #expect(lists[2].clients.count == 389)
  }

  @Test func `a relay that drains still answers`() throws {
    // In simulations a host gets no turn once it has nothing left to do: the only one has a client that does not leave.
    let scene = try SessionScene(shards: 1, firehoseCore: .shared)
    let questioner = Questioner(scene.simulation)
    let member = scene.join()
    scene.backend.socket.room = 0
    let first = questioner.begin(.clients(ClientFilter()))
    scene.simulation.drain()
    #expect(questioner.finish(first).ended == 0)
    #expect(questioner.ask(.end(id: member.id, .kicked)).ended ?? -1 >= 0)
    #expect(questioner.ask(.ended).ends.map(\.id) == [member.id])
  }

  // MARK: Addresses

  @Test(arguments: [
    ("192.0.2.7", "192.0.2.7", true), ("192.0.2.7", "192.0.2.8", false), ("192.0.2.7", "192.0.2.0/24", true),
    ("192.0.2.7", "0.0.0.0/0", true), ("192.0.2.7", "::/0", true), ("192.0.2.7", "::ffff:192.0.2.7", true),
    ("2001:db8::1", "2001:db8::/64", true), ("2001:db8::1", "2001:db8::/32", true),
    // One address of a /64 stands for all of it.
    ("2001:db8::1", "2001:db8::2", true), ("2001:db8:0:1::1", "2001:db8::/64", false),
    ("2001:db8::1", "0.0.0.0/0", false), ("64:ff9b::192.0.2.1", "64:ff9b::/96", true),
    ("64:ff9b::192.0.2.1", "192.0.2.1", false), ("2002:c000:201::5", "2002:c000:201::/48", true),
    ("2002:c000:201::5", "2002:c000:202::/48", false),
    // Their neighbours are strangers.
    ("fe80::1", "fe80::1", false), ("fe80::1", "fe80::/10", true), ("2001:0:1::1", "2001:0:1::1", false),
    ("2001:0:1::1", "2001::/32", true), ("64:ff9b:1::192.0.2.1", "64:ff9b:1::/48", true),
    ("64:ff9b:1::192.0.2.1", "64:ff9b:1::192.0.2.1", false), ("::192.0.2.1", "::192.0.2.1", true),
    ("::ffff:0:192.0.2.1", "::ffff:0:192.0.2.0/120", true),
  ])
  func `an address is in a range`(address: String, network: String, isIn: Bool) throws {
    let parsed = address.withCString { ClientAddress(text: $0, isV6: address.contains(":")) }
    let key = try #require(parsed).key
    #expect(try Self.range(network).contains(key) == isIn)
  }

  @Test func `a unix socket is in no range`() throws {
    for network in ["::/0", "0.0.0.0/0", "::1"] { #expect(!(try Self.range(network)).contains(.none)) }
  }
}
