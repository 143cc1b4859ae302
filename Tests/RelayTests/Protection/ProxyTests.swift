import Testing
import VoltlaneWire

@testable import Relay

/// The PROXY protocol: what is a header, and whom limits see behind one.
@Suite struct ProxyTests {
  private static let signature: [UInt8] = [0x0d, 0x0a, 0x0d, 0x0a, 0, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a]

  static func binary(_ command: UInt8, _ family: UInt8, _ rest: [UInt8], length: Int? = nil) -> [UInt8] {
    let length = length ?? rest.count
    return signature + [command, family, UInt8(length >> 8), UInt8(length & 0xff)] + rest
  }

  static let v4: [UInt8] = [192, 0, 2, 7, 10, 0, 0, 1, 0x30, 0x39, 0xa4, 0x10]
  static let v6: [UInt8] =
    [0x20, 1, 0x0d, 0xb8, 0, 0, 0, 5] + [UInt8](repeating: 0, count: 7) + [9] + [UInt8](repeating: 0, count: 16)
    + [0, 1, 0, 2]

  private static let source4 = ClientAddress(v4: 0xc000_0207)
  private static let source6 = ClientAddress(bits: 0x2001_0db8_0000_0005_0000_0000_0000_0009)

  static let headers: [(String, [UInt8], ClientAddress?)] = [
    ("v1 TCP4", Array("PROXY TCP4 192.0.2.7 10.0.0.1 12345 42000\r\n".utf8), source4),
    ("v1 TCP6", Array("PROXY TCP6 2001:db8:0:5::9 ::1 1 65535\r\n".utf8), source6),
    ("v1 unknown", Array("PROXY UNKNOWN\r\n".utf8), nil),
    ("v1 unknown, with more", Array("PROXY UNKNOWN ff:: ff:: 1 2\r\n".utf8), nil),
    ("v2 TCP4", binary(0x21, 0x11, v4), source4),
    ("v2 TCP6", binary(0x21, 0x21, v6), source6),
    ("v2 unix", binary(0x21, 0x31, [UInt8](repeating: 0, count: 216)), ClientAddress.none),
    ("v2 local", binary(0x20, 0x11, v4), nil),
    ("v2 local, empty", binary(0x20, 0, []), nil),
    ("v2 local, of a family that nobody knows", binary(0x20, 0xf7, [1, 2, 3]), nil),
    ("v2 unspecified, with values", binary(0x21, 0, [1, 2, 3]), nil),
    ("v2 with values", binary(0x21, 0x11, v4 + [0x01, 0, 2, 0x68, 0x32, 0x04, 0, 0]), source4),
    // The checksum was computed with another implementation.
    ("v2 with a checksum", binary(0x21, 0x11, v4 + [0x03, 0, 4, 0xad, 0x74, 0xc0, 0x2e]), source4),
    ("v2 of a datagram", binary(0x21, 0x22, v6), source6),
    ("v2 of no protocol", binary(0x21, 0x10, v4), nil),
    (
      "v2 with a client's certificate", binary(0x21, 0x11, v4 + [0x20, 0x18, 0] + [UInt8](repeating: 7, count: 6144)),
      source4
    ),
    ("v2, the longest", binary(0x21, 0x11, v4 + [0x04, 0xff, 0xf0] + [UInt8](repeating: 0, count: 65_520)), source4),
    ("v2 local, the longest", binary(0x20, 0, [UInt8](repeating: 0xff, count: 65_535)), nil),
  ]

  @Test(arguments: headers)
  func isAHeader(name: String, bytes: [UInt8], client: ClientAddress?) {
    // Whole, and in two pieces wherever it may be cut.
    let cuts = Array(0...min(bytes.count, 300)) + [bytes.count - 1, bytes.count]
    for cut in cuts {
      #expect(Self.read(bytes + [1, 2, 3], cut: cut) == Read(client: client, byteCount: bytes.count), "at \(cut)")
    }
    // What is needed of it comes first.
    for count in 0..<min(bytes.count, 16) {
      #expect(ProxyHeader.parse(bytes.span.bytes.extracting(0..<count)) == .incomplete, "\(count) bytes")
    }
  }

  private struct Read: Equatable {
    var client: ClientAddress?
    var byteCount = 0
    var fault: ProxyFault?
  }

  /// Reads a header as a shard does, of which the bytes before `cut` come first.
  private static func read(_ bytes: [UInt8], cut: Int = 0) -> Read {
    var start = min(cut, ProxyHeader.longestStart)
    var outcome = ProxyHeader.parse(bytes.span.bytes.extracting(0..<min(start, bytes.count)))
    if outcome == .incomplete {
      start = min(bytes.count, ProxyHeader.longestStart)
      outcome = ProxyHeader.parse(bytes.span.bytes.extracting(0..<start))
    }
    switch outcome {
    case .incomplete: return Read()
    case .malformed(let fault): return Read(fault: fault)
    case .header(let header):
      var (values, offset) = (header.values, header.byteCount)
      while values.remaining > 0, offset < bytes.count {
        let most = offset < cut ? cut - offset : Int(values.remaining)
        let count = min(most, Int(values.remaining), bytes.count - offset)
        let part = bytes.span.bytes.extracting(offset..<(offset + count))
        if let fault = values.parse(part) { return Read(fault: fault) }
        #expect(ProxyValues(words: values.words) == values)
        offset += count
      }
      return Read(client: header.client, byteCount: offset)
    }
  }

  static let malformed: [(String, [UInt8], ProxyFault)] = [
    ("a version packet", [2, 0, 0, 0, 1, 2], .noHeader),
    ("HTTP", Array("GET / HTTP/1.1\r\n".utf8), .noHeader),
    ("lower case", Array("proxy TCP4 1.1.1.1 1.1.1.1 1 1\r\n".utf8), .noHeader),
    ("v1 without carriage return", Array("PROXY TCP4 1.1.1.1 1.1.1.1 1 1\n".utf8), .line),
    ("v1 that is too long", Array(("PROXY UNKNOWN " + String(repeating: "x", count: 92) + "\r\n").utf8), .line),
    ("v1 without a family", Array("PROXY \r\n".utf8), .line),
    ("v1 of another family", Array("PROXY UDP4 1.1.1.1 1.1.1.1 1 1\r\n".utf8), .line),
    ("v1 without ports", Array("PROXY TCP4 1.1.1.1 1.1.1.1\r\n".utf8), .line),
    ("v1 with a wrong port", Array("PROXY TCP4 1.1.1.1 1.1.1.1 1 65536\r\n".utf8), .line),
    ("v1 with a signed port", Array("PROXY TCP4 1.1.1.1 1.1.1.1 +1 1\r\n".utf8), .line),
    ("v1 with a v6 address of TCP4", Array("PROXY TCP4 ::1 1.1.1.1 1 1\r\n".utf8), .line),
    ("v1 with a v4 address of TCP6", Array("PROXY TCP6 1.1.1.1 ::1 1 1\r\n".utf8), .line),
    ("v1 with a network", Array("PROXY TCP4 1.1.1.0/24 1.1.1.1 1 1\r\n".utf8), .line),
    ("v1 with two spaces", Array("PROXY TCP4  1.1.1.1 1.1.1.1 1 1\r\n".utf8), .line),
    ("v2 of version 1", binary(0x11, 0x11, v4), .version),
    ("v2 with another command", binary(0x22, 0x11, v4), .command),
    ("v2 of another family", binary(0x21, 0x41, v4), .family),
    ("v2 of another protocol", binary(0x21, 0x13, v4), .family),
    ("v2 that is too short", binary(0x21, 0x11, Array(v4.dropLast())), .addresses),
    ("v2 with half a value", binary(0x21, 0x11, v4 + [1, 0]), .values),
    ("v2 with a value beyond its end", binary(0x21, 0x11, v4 + [1, 0, 2, 5]), .values),
    ("v2 with a wrong checksum", binary(0x21, 0x11, v4 + [0x03, 0, 4, 1, 2, 3, 4]), .checksum),
    ("v2 with a short checksum", binary(0x21, 0x11, v4 + [0x03, 0, 3, 1, 2, 3]), .values),
  ]

  @Test(arguments: malformed)
  func isNone(name: String, bytes: [UInt8], fault: ProxyFault) {
    for cut in 0...bytes.count { #expect(Self.read(bytes, cut: cut) == Read(fault: fault), "at \(cut)") }
  }

  @Test func everyFaultIsFound() {
    #expect(Set(Self.malformed.map(\.2)) == Set(ProxyFault.allCases))
  }

  // MARK: Behind a proxy

  private static let proxy = ClientAddress(v4: 0x0a00_0001)

  private func scene(
    seed: UInt64 = 1, _ configure: (inout ProtectionConfiguration) -> Void = { _ in }
  ) throws -> SessionScene {
    try SessionScene(seed: seed) {
      $0.protection.proxies = [try! Network("10.0.0.1")]
      configure(&$0.protection)
    }
  }

  private func connect(_ scene: SessionScene, _ header: [UInt8], from: ClientAddress = proxy) -> SimulatedSocket {
    let socket = scene.simulation.connect(shard: 0, address: from)
    scene.simulation.write(header, to: socket)
    scene.simulation.settle(for: 0)
    return socket
  }

  private func isAttached(_ socket: SimulatedSocket) -> Bool {
    var client = SimulatedClient(socket)
    return client.readHandshake() != nil
  }

  @Test(arguments: 1...6 as ClosedRange<UInt64>)
  func theHandshakeFollowsInAnyPieces(seed: UInt64) throws {
    for (name, header, _) in Self.headers {
      let scene = try scene(seed: seed)
      var random = SeededRandom(seed: seed)
      let socket = scene.simulation.connect(shard: 0, address: Self.proxy)
      var rest = (header + SimulatedClient.hello + SimulatedClient.packet([5]))[...]
      while !rest.isEmpty {
        let count = random.oneIn(3) ? rest.count : 1 + random.below(rest.count)
        scene.simulation.write(Array(rest.prefix(count)), to: socket)
        rest = rest.dropFirst(count)
        scene.simulation.settle(for: 0)
      }
      scene.simulation.settle()
      #expect(isAttached(socket), "\(name)")
      #expect(scene.next()?.data == [5], "\(name)")
    }
  }

  @Test func limitsSeeTheClientBehindTheProxy() throws {
    let scene = try scene {
      $0.maxClientsPerAddress = 1
      $0.denied = [try! Network("198.51.100.0/24")]
    }
    let hello = SimulatedClient.hello
    #expect(isAttached(connect(scene, Self.headers[0].1 + hello)))
    let second = connect(scene, Self.headers[4].1 + hello)
    #expect(second.relayClosed && second.outgoing.isEmpty)
    #expect(scene.simulation[.refusedAddressClients] == 1)
    #expect(isAttached(connect(scene, Self.headers[1].1 + hello)))
    #expect(connect(scene, Array("PROXY TCP4 198.51.100.9 1.1.1.1 1 1\r\n".utf8)).relayClosed)
    // The proxy's own connections have no limit by address.
    for _ in 0..<3 { #expect(isAttached(connect(scene, Self.headers[2].1 + hello))) }
    // From the owner's address another client is refused also without a proxy.
    #expect(connect(scene, hello, from: Self.source4).relayClosed)
  }

  @Test func whoIsNoProxyIsNotBelieved() throws {
    let scene = try scene()
    let stranger = ClientAddress(v4: 0x0a00_0002)
    #expect(connect(scene, Self.headers[0].1 + SimulatedClient.hello, from: stranger).relayClosed)
    #expect(scene.simulation[.handshakesMalformed] == 1)
    #expect(isAttached(connect(scene, SimulatedClient.hello, from: stranger)))
  }

  @Test func whatComesOverUnixSocketsIsAProxysWhereThatIsSaid() throws {
    let plain = try scene()
    #expect(isAttached(connect(plain, SimulatedClient.hello, from: .none)))
    let proxied = try scene { $0.trustsUnixProxies = true }
    #expect(connect(proxied, SimulatedClient.hello, from: .none).relayClosed)
    #expect(isAttached(connect(proxied, Self.headers[5].1 + SimulatedClient.hello, from: .none)))
  }

  @Test func aProxyThatSaysNothingInTimeIsClosed() throws {
    let scene = try scene { $0.handshakeTimeout = nil }
    let sockets = [[], Array(Self.headers[0].1.dropLast())].map { connect(scene, $0) }
    let done = connect(scene, Self.headers[0].1)
    scene.simulation.pass(4 * Limits.second)
    #expect(sockets.allSatisfy { $0.relayClosed && $0.outgoing.isEmpty })
    #expect(!done.relayClosed)
    #expect(scene.simulation[.refusedProxyHeader] == 2)
    #expect(scene.simulation[.bans] == 0)
  }
}

@Suite struct CRC32CTests {
  /// The check value of the polynomial's catalogue, and those of RFC 3720.
  @Test func knownValues() {
    let known: [([UInt8], UInt32)] = [
      (Array("123456789".utf8), 0xe306_9283), ([UInt8](repeating: 0, count: 32), 0x8a91_36aa),
      ([UInt8](repeating: 0xff, count: 32), 0x62a8_ab43),
    ]
    for (bytes, checksum) in known {
      var crc = CRC32C()
      for byte in bytes { crc.update(byte) }
      #expect(crc.checksum == checksum)
    }
  }
}
