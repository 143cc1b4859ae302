import Glibc
import Relay
import Testing

/// What load balancers send first, through real sockets: the neighbour connects by himself and notices nothing.
@Suite struct ProxyProtocolTests {
  private func scene(_ layout: Layout, _ configure: (inout ProtectionConfiguration) -> Void) throws -> ProtectionScene {
    try ProtectionScene(layout) {
      $0.protection.proxies = [try! Network("127.0.0.2")]
      $0.protection.acceptRatePerAddress = nil
      configure(&$0.protection)
    }
  }

  private static let signature: [UInt8] = [13, 10, 13, 10, 0, 13, 10, 0x51, 0x55, 0x49, 0x54, 10]
  /// From 2001:db8::1 to 2001:db8::2, with ports.
  private static let v6: [UInt8] =
    [0x20, 1, 0x0d, 0xb8] + Array(repeating: 0, count: 11) + [1]
    + [0x20, 1, 0x0d, 0xb8] + Array(repeating: 0, count: 11) + [2] + [4, 0, 0xa4, 0x10]

  private static func header(_ command: UInt8, _ family: UInt8, _ rest: [UInt8]) -> [UInt8] {
    signature + [0x20 | command, family, UInt8(rest.count >> 8), UInt8(rest.count & 0xff)] + rest
  }

  /// The proxy's own connections, health checks say: no limit by address holds for them.
  @Test(arguments: Layout.allCases)
  func `a proxy that speaks for itself or does not know`(_ layout: Layout) throws {
    let scene = try scene(layout) { $0.maxClientsPerAddress = 1 }
    var clients: [RawClient] = []
    let headers = [
      Array("PROXY UNKNOWN\r\n".utf8), Array("PROXY UNKNOWN 192.0.2.1 192.0.2.2 1 2\r\n".utf8),
      Self.header(0, 0, []), Self.header(0, 0x21, Self.v6), Self.header(1, 0, [1, 2, 3]),
    ]
    for header in headers + headers {
      let socket = try scene.connect()
      try socket.send(header)
      clients.append(try RawClient(socket))
    }
    for client in clients { #expect(try scene.rig.roundTrip(client)) }
    #expect(try scene.rig.roundTrip(scene.neighbour))
  }

  @Test(arguments: Layout.allCases)
  func `version 2 over IPv6`(_ layout: Layout) throws {
    let scene = try scene(layout) { $0.denied = [try! Network("2001:db8::2")] }
    let socket = try scene.connect()
    // The client's packets right behind.
    try socket.send(Self.header(1, 0x21, Self.v6 + [0x05, 0, 2, 7, 7]) + RawClient.hello + framed([1, 2, 3]))
    let id = try RawClient.receiveAnswers(socket)
    #expect(try scene.rig.firehose.receive() == .data(id, [1, 2, 3]))
    let denied = try scene.connect()
    var addresses = Self.v6
    addresses[15] = 2
    try denied.send(Self.header(1, 0x21, addresses))
    #expect(try denied.receiveToEnd().bytes == [])
    #expect(scene.rig.test.eventually(.refusedDenied, is: 1))
    #expect(try scene.rig.roundTrip(scene.neighbour))
  }

  /// Client certificates make headers of several KiB; the relay keeps none of it.
  @Test(arguments: Layout.allCases, [4100, 6144, 65_535 - 39])
  func `headers with large values`(_ layout: Layout, _ size: Int) throws {
    let scene = try scene(layout) { $0.denied = [try! Network("2001:db8::2")] }
    let value = [0x20, UInt8(size >> 8), UInt8(size & 0xff)] + [UInt8](repeating: 5, count: size)
    for (command, family) in [(1, 0x21), (0, 0x21), (0, 0), (0, 0xf7)] as [(UInt8, UInt8)] {
      let socket = try scene.connect()
      let header = Self.header(command, family, Self.v6 + value)
      // In pieces that end within values, and with the client's packets right behind.
      try socket.send(pieces: [Array(header[..<200]), Array(header[200..<3000]), header[3000...] + RawClient.hello])
      let client = try RawClient.receiveAnswers(socket)
      try socket.send(framed([1, 2, 3]))
      #expect(try scene.rig.firehose.receive() == .data(client, [1, 2, 3]))
    }
    let denied = try scene.connect()
    var addresses = Self.v6
    addresses[15] = 2
    try denied.send(Self.header(1, 0x21, addresses + value))
    #expect(try denied.receiveToEnd().bytes == [])
    #expect(scene.rig.test.eventually(.refusedDenied, is: 1))
    // One that never ends within its values has no longer than others.
    let stalled = try scene.connect()
    try stalled.send(Array(Self.header(1, 0x21, Self.v6 + value)[..<4000]))
    #expect(try stalled.receiveToEnd().bytes == [])
    #expect(scene.rig.test.eventually(.refusedProxyHeader, is: 1))
    #expect(try scene.rig.roundTrip(scene.neighbour))
  }

  @Test func `headers that are none`() throws {
    let scene = try scene(.shared) { _ in }
    let headers: [(Metric, [[UInt8]])] = [
      (.refusedProxyNoHeader, [RawClient.hello, Self.signature.dropLast() + [0x0d], Array("PROXX ".utf8)]),
      (
        .refusedProxyLine,
        [
          "TCP4 300.0.2.1 10.0.0.1 1 2\r\n", "TCP4 192.0.2.1 10.0.0.1 1 2\n", "TCP4 192.0.2.1 10.0.0.1 1 65536\r\n",
          "TCP4 2001:db8::1 10.0.0.1 1 2\r\n", "TCP4 192.0.2.1  10.0.0.1 1 2\r\n", "UDP4 192.0.2.1 10.0.0.1 1 2\r\n",
          String(repeating: "x", count: 200),
        ].map { Array(("PROXY " + $0).utf8) }
      ),
      (.refusedProxyVersion, [Self.signature + [0x11, 0x11, 0, 0]]),
      (.refusedProxyCommand, [Self.header(2, 0x11, [])]),
      (.refusedProxyFamily, [Self.header(1, 0x13, Self.v6), Self.header(1, 0x41, Self.v6)]),
      (.refusedProxyAddresses, [Self.header(1, 0x11, [1, 2, 3]), Self.signature + [0x21, 0x11, 0, 11]]),
      // Values that end too soon or too late, and a checksum that is none.
      (
        .refusedProxyValues,
        [[0x05, 0], [0x05, 0, 9, 1], [0x03, 0, 2, 1, 2]].map { Self.header(1, 0x21, Self.v6 + $0) }
      ),
      (.refusedProxyChecksum, [Self.header(1, 0x21, Self.v6 + [0x03, 0, 4, 1, 2, 3, 4])]),
    ]
    for (metric, headers) in headers {
      for (number, header) in headers.enumerated() {
        let socket = try scene.connect()
        try socket.send(header)
        #expect(try socket.receiveToEnd().bytes == [], "\(metric) \(number)")
        #expect(scene.rig.test.eventually(metric, is: UInt64(number + 1)), "\(metric) \(number)")
      }
    }
    // Nor does its end count as one.
    try scene.connect().send(Self.signature)
    #expect(try scene.rig.roundTrip(scene.neighbour))
    #expect(scene.rig.relay[.bans] == 0)
  }

  /// A proxy that has sent something has no more time than one that has sent nothing.
  @Test func `a proxy that never comes to the end`() throws {
    let scene = try scene(.shared) { _ in }
    let socket = try scene.connect()
    for byte in Array("PROXY TCP4 192.0.2.1 192.0.2.2 ".utf8) + Array(repeating: UInt8(ascii: "1"), count: 60) {
      guard (try? socket.sendSome([byte])) != nil, try socket.staysSilent(milliseconds: 100) else { break }
    }
    #expect(try socket.receiveToEnd().bytes == [])
    #expect(scene.rig.test.eventually(.refusedProxyHeader, is: 1))
    #expect(try scene.rig.roundTrip(scene.neighbour))
  }
}
