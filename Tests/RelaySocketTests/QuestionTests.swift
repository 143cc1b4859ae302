import Glibc
import Relay
import Testing

/// What the control thread asks of shards that run on threads of their own.
@Suite struct QuestionTests {
  /// Takes what shards have answered until `isOver`; false where that does not come in time.
  private static func wait(_ rig: Rig, until isOver: () -> Bool) -> Bool {
    rig.test.eventually {
      rig.relay.takeEvents { _ in }
      return isOver()
    }
  }

  /// All clients as the shards have them.
  private static func clients(_ rig: Rig, _ filter: ClientFilter = ClientFilter()) throws -> [ClientRow] {
    var (rows, isOver) = ([ClientRow](), false)
    rig.relay.ask(.clients(filter)) { row in
      if case .client(let client) = row { rows.append(client) }
    } finished: { _ in
      isOver = true
    }
    try #require(wait(rig) { isOver })
    return rows
  }

  private static func ended(_ rig: Rig, _ ask: (@escaping (Int) -> Void) -> Void) throws -> Int {
    var ended: Int?
    ask { ended = $0 }
    try #require(wait(rig) { ended != nil })
    return try #require(ended)
  }

  @Test(arguments: Layout.allCases)
  func `clients are listed and let go while packets are carried`(_ layout: Layout) throws {
    let rig = try Rig(layout)
    let clients = try (0..<200).map { _ in try rig.test.client() }
    for client in clients { #expect(try rig.roundTrip(client)) }
    let rows = try Self.clients(rig)
    #expect(Set(rows.map(\.id)) == Set(clients.map(\.id)) && rows.count == clients.count)
    for row in rows {
      #expect(row.state == .attached && "\(row.address)" == "127.0.0.1")
      #expect([row.packetsUp, row.bytesUp, row.packetsDown, row.bytesDown] == [1, 3, 1, 3])
    }
    // By id, and by network.
    #expect(try Self.ended(rig) { rig.relay.ask(.end(id: clients[0].id, .kicked), finished: $0) } == 1)
    #expect(try rig.firehose.receive() == .failure(clients[0].id, "kicked"))
    #expect(try rig.roundTrip(clients[1]))
    let nobody = ClientFilter(addresses: AddressRange(try Network("192.0.2.0/24")))
    #expect(try Self.ended(rig) { rig.relay.ask(.endAll(nobody, .kicked), finished: $0) } == 0)
    let everybody = ClientFilter(addresses: AddressRange(try Network("127.0.0.0/8")))
    #expect(try Self.ended(rig) { rig.relay.ask(.endAll(everybody, .kicked), finished: $0) } == 199)
    #expect(try Self.clients(rig).isEmpty)
    #expect(rig.relay[.endedKicked] == 200)
  }

  @Test(arguments: Layout.allCases)
  func `the idlest clients are let go first`(_ layout: Layout) throws {
    let rig = try Rig(layout)
    let clients = try (0..<20).map { _ in try rig.test.client() }
    // Longer than what idle time is rounded to.
    try #require(rig.test.eventually { try Self.clients(rig).allSatisfy { $0.idle > 200_000_000 } })
    for client in clients.suffix(8) { #expect(try rig.roundTrip(client)) }
    #expect(try Self.ended(rig) { rig.relay.endIdlest(12, .relayDraining, finished: $0) } == 12)
    #expect(Set(try Self.clients(rig).map(\.id)) == Set(clients.suffix(8).map(\.id)))
    // More than there are.
    #expect(try Self.ended(rig) { rig.relay.endIdlest(100, .relayDraining, finished: $0) } == 8)
    #expect(try Self.ended(rig) { rig.relay.endIdlest(1, .relayDraining, finished: $0) } == 0)
  }

  /// Nobody waits for a shard that no longer runs.
  @Test func `a question to a relay that ends is dropped`() throws {
    let rig = try Rig(.own)
    rig.relay.ask(.clients(ClientFilter())) { _ in Issue.record("asked too late") }
    rig.relay.stop()
    rig.relay.takeEvents { _ in }
    rig.relay.ask(.ended) { _ in Issue.record("asked after the end") }
  }
}
