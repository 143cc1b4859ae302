import Glibc
import Relay
import Testing
import VoltlaneWire

/// The firehose's extensions over real sockets: away, address, volatile, multicast.
@Suite struct ExtensionTests {
  private static func rig(_ layout: Layout, configure: (inout RelayConfiguration) -> Void = { _ in }) throws -> Rig {
    try Rig(layout) {
      $0.staleTimeout = .seconds(60)
      $0.tellsAway = true
      $0.tellsAddresses = true
      configure(&$0)
    }
  }

  private static func away(_ id: UInt64) -> Tagged { Tagged(id: id, flag: 4, data: []) }

  private static func volatile(_ id: UInt64, _ data: [UInt8]) -> Tagged { Tagged(id: id, flag: 5, data: data) }

  /// The tag's own id is ignored.
  private static func multicast(_ ids: [UInt64], _ data: [UInt8], kind: UInt8 = 0, tag: UInt64 = 0) -> Tagged {
    let count = (0..<4).map { UInt8(truncatingIfNeeded: ids.count >> (8 * $0)) }
    return Tagged(id: tag, flag: 6, data: [kind] + count + ids.flatMap(littleEndian) + data)
  }

  /// Where a client of IPv4 connects from, by its own socket.
  private static func address(_ client: RawClient) -> Tagged {
    let port = SocketCalls.port(client.socket.descriptor)
    let bytes = [127, 0, 0, 1, UInt8(truncatingIfNeeded: port), UInt8(truncatingIfNeeded: port >> 8)]
    return Tagged(id: client.id, flag: 7, data: [4] + bytes)
  }

  // MARK: What the relay says

  @Test(arguments: Layout.allCases)
  func `address, data, away, return and address come in order`(_ layout: Layout) throws {
    let rig = try Self.rig(layout)
    let client = try rig.test.client()
    try client.send([1], [2])
    for expected in [Self.address(client), .data(client.id, [1]), .data(client.id, [2])] {
      #expect(try rig.firehose.receive() == expected)
    }
    client.socket.reset()
    #expect(try rig.firehose.receive() == Self.away(client.id))
    let back = try rig.test.comeBack(client.id, followedBy: framed([3]))
    for expected in [.reconnection(client.id), Self.address(back), .data(client.id, [3])] {
      #expect(try rig.firehose.receive() == expected)
    }
  }

  /// It ends with its socket: no 0x04 comes before the 0x01.
  @Test(arguments: Layout.allCases)
  func `a session that ends with its socket is not away`(_ layout: Layout) throws {
    let rig = try Self.rig(layout) { $0.staleTimeout = .zero }
    let client = try rig.test.client()
    let address = Self.address(client)
    client.socket.reset()
    #expect(try rig.firehose.receive() == address)
    #expect(try rig.firehose.receive() == .failure(client.id, "stale timeout"))
  }

  @Test(arguments: Layout.allCases)
  func `a new connection is told who is where, and who is away`(_ layout: Layout) throws {
    let rig = try Self.rig(layout) { $0.announce = true }
    let (here, gone) = (try rig.test.client(), try rig.test.client())
    let addresses = [here.id: Self.address(here), gone.id: Self.address(gone)]
    for _ in 0..<2 {
      let packet = try rig.firehose.receive()
      #expect(packet == addresses[packet.id])
    }
    gone.socket.reset()
    #expect(try rig.firehose.receive() == Self.away(gone.id))
    rig.firehose.socket.reset()
    let next = try rig.backend.accept()
    var named: [UInt64] = []
    while named.count < 2 {
      let packet = try next.receive()
      #expect(packet == .reconnection(packet.id))
      #expect(try next.receive() == addresses[packet.id])
      if packet.id == gone.id { #expect(try next.receive() == Self.away(gone.id)) }
      named.append(packet.id)
    }
    #expect(Set(named) == [here.id, gone.id])
  }

  @Test func `nobody hears of it who has not asked`() throws {
    let rig = try Rig(.shared) { $0.staleTimeout = .seconds(60) }
    let client = try rig.test.client()
    client.socket.reset()
    #expect(rig.test.eventually(.sessionsGoneStale, is: 1))
    let back = try rig.test.comeBack(client.id)
    #expect(try rig.firehose.receive() == .reconnection(client.id))
    #expect(try rig.roundTrip(back))
  }

  @Test func `a client on a unix socket is nowhere`() throws {
    let path = "/tmp/voltlane-extensions-\(getpid()).sock"
    let backend = try RawBackend()
    let test = try TestRelay(listeners: [.unix(path: path)], backend: backend.endpoint) { $0.tellsAddresses = true }
    let firehose = try backend.accept()
    let client = try test.client()
    #expect(try firehose.receive() == Tagged(id: client.id, flag: 7, data: [0, 0, 0]))
  }

  // MARK: What the backend says

  @Test(arguments: Layout.allCases)
  func `volatile packets keep their order, and are nothing to a client that is away`(_ layout: Layout) throws {
    let rig = try Rig(layout) { $0.staleTimeout = .seconds(60) }
    let client = try rig.test.client()
    for number in 0..<30 as Range<UInt8> {
      let isVolatile = number % 3 == 1
      try rig.firehose.send(isVolatile ? Self.volatile(client.id, [number]) : .data(client.id, [number]))
    }
    for number in 0..<30 as Range<UInt8> { #expect(try client.receive() == [number]) }
    client.socket.reset()
    #expect(rig.test.eventually(.sessionsGoneStale, is: 1))
    let unknown = client.id ^ 1
    try rig.firehose.send(Self.volatile(client.id, [1]), Self.volatile(unknown, [1]), .data(client.id, [2]))
    // The second of these is the first that is answered.
    try rig.firehose.send(.data(unknown, []))
    #expect(try rig.firehose.receive() == .failure(unknown, "unknown client"))
    let back = try rig.test.comeBack(client.id)
    #expect(try back.receive() == [2])
    #expect(rig.relay[.volatileDropped] == 2)
  }

  /// Far more than its buffer holds: a client that reads nothing misses what is volatile, and goes on.
  @Test(arguments: Layout.allCases)
  func `volatile packets end nobody`(_ layout: Layout) throws {
    let rig = try Rig(layout) { $0.clientSendBuffer = 100_000 }
    let client = try rig.test.client(receiveBuffer: 4096)
    let packet = pattern(50_000)
    var sent = 0
    while rig.relay[.volatileDropped] < 100 {
      try rig.firehose.send(Self.volatile(client.id, packet))
      sent += 1
    }
    try rig.firehose.send(.data(client.id, [7]))
    var received = 0
    while true {
      let next = try client.receive()
      if next == [7] { break }
      #expect(next == packet)
      received += 1
    }
    #expect(UInt64(sent - received) == rig.relay[.volatileDropped])
    #expect(try rig.roundTrip(client))
  }

  @Test(arguments: Layout.allCases)
  func `a multicast is to each as a packet by itself`(_ layout: Layout) throws {
    let rig = try Rig(layout) {
      $0.staleTimeout = .seconds(60)
      $0.missedPacketsBuffer = 1_000_000
    }
    let sizes = [0, 1, 1000, 300_000]
    let clients = try (0..<8).map { _ in try rig.test.client() }
    let away = try rig.test.client()
    away.socket.reset()
    #expect(rig.test.eventually(.sessionsGoneStale, is: 1))
    let unknown = away.id ^ 1
    let ids = clients.map(\.id) + [clients[0].id, away.id, unknown]
    for size in sizes {
      try rig.firehose.send(
        .data(clients[0].id, [1]), Self.multicast(ids, pattern(size), tag: clients[1].id), .data(clients[0].id, [2]))
      #expect(try rig.firehose.receive() == .failure(unknown, "unknown client"))
      for (number, client) in clients.enumerated() {
        if number == 0 { #expect(try client.receive() == [1]) }
        // An id that stands twice gets it twice.
        for _ in 0..<(number == 0 ? 2 : 1) { #expect(try client.receive() == pattern(size)) }
        if number == 0 { #expect(try client.receive() == [2]) }
      }
    }
    let back = try rig.test.comeBack(away.id)
    for size in sizes { #expect(try back.receive() == pattern(size)) }
  }

  /// The largest packet to the longest list is within the maximum of this link; a byte more is malformed, and skipped.
  @Test func `the list is beside the largest packet`() throws {
    let rig = try Rig(.own) { $0.maxPacketSize = 100_000 }
    let (one, other) = (try rig.test.client(), try rig.test.client())
    let unknown = (0..<65_534).map { UInt64($0) << 20 | 0xfffff }
    let volatile: UInt8 = 5
    try rig.firehose.send(Self.multicast([one.id] + unknown + [other.id], pattern(100_000), kind: volatile))
    #expect(try one.receive() == pattern(100_000))
    #expect(try other.receive() == pattern(100_000))
    try rig.firehose.send(Self.multicast([one.id], pattern(100_001)), Self.multicast([one.id], [1], kind: 1))
    var short = Self.multicast([one.id, other.id], [])
    short.data.removeLast()
    try rig.firehose.send(short, Tagged(id: 0, flag: 6, data: [0, 1]))
    // What only a relay says.
    try rig.firehose.send(Self.away(one.id), Tagged(id: one.id, flag: 7, data: [0, 0, 0]))
    #expect(try rig.roundTrip(one) && rig.roundTrip(other))
    #expect(rig.relay[.packetsMalformed] == 6)
  }
}
