import Glibc
import Relay
import Testing

/// What limits take for one address and for one network. The addresses come in PROXY headers, because nobody has an
/// IPv6 /56 on its loopback.
@Suite struct AddressTests {
  private func scene(_ layout: Layout, _ configure: (inout ProtectionConfiguration) -> Void) throws -> ProtectionScene {
    try ProtectionScene(layout) {
      $0.protection.proxies = [try! Network("127.0.0.2")]
      configure(&$0.protection)
    }
  }

  private func connect(_ scene: ProtectionScene, _ source: String) throws -> RawSocket {
    let socket = try scene.connect()
    let (family, destination) = source.contains(":") ? ("TCP6", "2001:db8::ff") : ("TCP4", "10.0.0.1")
    try socket.send(Array("PROXY \(family) \(source) \(destination) 1024 42000\r\n".utf8))
    return socket
  }

  /// Whether the client at `source` is refused for that, and nobody notices.
  private func refuses(_ scene: ProtectionScene, _ source: String, for metric: Metric) throws -> Bool {
    let before = scene.rig.relay[metric]
    let socket = try connect(scene, source)
    return try socket.receiveToEnd().bytes == [] && scene.rig.relay[metric] == before + 1
      && scene.rig.roundTrip(scene.neighbour)
  }

  /// Lets in the first ones, refuses the next ones for that, and lets in the last ones.
  private func check(
    _ scene: ProtectionScene, _ first: [String], refused: [String], for metric: Metric, _ last: [String]
  ) throws {
    var clients = try first.map { try RawClient(connect(scene, $0)) }
    for source in refused { #expect(try refuses(scene, source, for: metric), "\(source)") }
    clients += try last.map { try RawClient(connect(scene, $0)) }
    for client in clients { #expect(try scene.rig.roundTrip(client)) }
  }

  @Test(arguments: Layout.allCases)
  func `an IPv6 64 is one address`(_ layout: Layout) throws {
    try check(
      scene(layout) { $0.maxClientsPerAddress = 2 },
      ["2001:db8:0:1::1", "2001:db8:0:1:ffff:ffff:ffff:ffff"],
      refused: ["2001:db8:0:1::", "2001:db8:0:1::1", "2001:db8:0:1:8000::"], for: .refusedAddressClients,
      ["2001:db8:0:2::1", "2001:db8:0:0:ffff::", "192.0.2.1"])
  }

  @Test(arguments: Layout.allCases)
  func `an IPv6 56 is one network`(_ layout: Layout) throws {
    try check(
      scene(layout) { $0.maxClientsPerPrefix = 2 },
      ["2001:db8:0:100::1", "2001:db8:0:1ff::1"],
      refused: ["2001:db8:0:1aa::", "2001:db8:0:100::1"], for: .refusedPrefixClients,
      ["2001:db8:0:200::1", "2001:db8:0:ff::1", "192.0.2.1"])
  }

  @Test(arguments: Layout.allCases)
  func `an IPv4 24 is one network`(_ layout: Layout) throws {
    try check(
      scene(layout) { $0.maxClientsPerPrefix = 2 },
      ["192.0.2.1", "192.0.2.255"], refused: ["192.0.2.0", "192.0.2.9"], for: .refusedPrefixClients,
      ["192.0.3.1", "192.0.1.255"])
  }

  @Test(arguments: Layout.allCases)
  func `a v4-mapped address is the IPv4 one`(_ layout: Layout) throws {
    try check(
      scene(layout) {
        $0.maxClientsPerAddress = 1
        $0.denied = [try! Network("198.51.100.0/24")]
      },
      ["192.0.2.1", "::ffff:192.0.2.2"], refused: ["::ffff:192.0.2.1", "192.0.2.2"], for: .refusedAddressClients,
      ["::ffff:192.0.2.3"])
    let scene = try scene(layout) { $0.denied = [try! Network("198.51.100.0/24")] }
    #expect(try refuses(scene, "::ffff:198.51.100.7", for: .refusedDenied))
  }

  @Test(arguments: Layout.allCases)
  func `rates and bans know a 64 again too`(_ layout: Layout) throws {
    let scene = try scene(layout) {
      $0.acceptRatePerAddress = Rate(3, per: .minute)
      $0.banAfter = Rate(1, per: .minute)
    }
    for source in ["2001:db8:0:1::1", "2001:db8:0:1::2"] {
      let socket = try connect(scene, source)
      try socket.send([1, 0, 0, 0, 9])
      #expect(try socket.receiveToEnd().bytes == [])
    }
    #expect(scene.rig.test.eventually(.bans, is: 1))
    #expect(try refuses(scene, "2001:db8:0:1::3", for: .refusedBanned))
    for last in 1...3 { #expect(try scene.rig.roundTrip(RawClient(connect(scene, "2001:db8:0:2::\(last)")))) }
    #expect(try refuses(scene, "2001:db8:0:2::4", for: .refusedAddressAcceptRate))
    #expect(try scene.rig.roundTrip(RawClient(connect(scene, "2001:db8:0:3::1"))))
  }

  /// Without a proxy: the kernel's own address of a peer.
  @Test func `a client over IPv6`() throws {
    let backend = try RawBackend()
    let test = try TestRelay(
      listeners: [.tcp(host: "127.0.0.1", port: 0), .tcp(host: "::1", port: 0)], backend: backend.endpoint
    ) {
      $0.protection.limitsLoopback = true
      $0.protection.maxClientsPerAddress = 1
    }
    let rig = Rig(backend: backend, test: test, firehose: try backend.accept())
    let clients = try [test.client(), RawClient(RawSocket(to: test.relay.endpoints[1]))]
    for endpoint in test.relay.endpoints {
      let refused = try RawSocket(to: endpoint)
      #expect(try refused.receiveToEnd().bytes == [])
    }
    #expect(rig.test.eventually(.refusedAddressClients, is: 2))
    for client in clients { #expect(try rig.roundTrip(client)) }
  }

  /// Addresses of IPv4 clients behind translators and tunnels, and of neighbours: each is refused alone, also by the
  /// filter that the kernel gets for one that floods. The second is in the same /64 as the first.
  @Test(
    .enabled(if: NetworkNamespace.isPossible, "network namespaces need root, and ip"),
    arguments: [
      ("64:ff9b::192.0.2.1", "64:ff9b::192.0.2.2"), ("64:ff9b:1::192.0.2.1", "64:ff9b:1::192.0.2.2"),
      ("::ffff:0:192.0.2.1", "::ffff:0:192.0.2.2"), ("2002:c000:201::1", "2002:c000:202::1"),
      ("2001:0:1:2:8000:63bf:3fff:fdfe", "2001:0:1:2:8000:63bf:3fff:fdfd"), ("2001:db8::1", "2001:db8:0:1::1"),
      ("192.0.2.1", "192.0.2.2"),
    ])
  func `clients behind translators and tunnels`(offender: String, neighbour: String) throws {
    let isV4 = !offender.contains(":")
    let width = isV4 ? 32 : 128
    // Usable at once, without a look whether somebody else has it.
    let add = [offender, neighbour].map { "ip address add \($0)/\(width) dev lo\(isV4 ? "" : " nodad")" }
    try NetworkNamespace.run((["ip link set lo up"] + add).joined(separator: " && ")) {
      let test = try TestRelay(
        listeners: [.tcp(host: isV4 ? "0.0.0.0" : "::", port: 0)], backend: .tcp(host: "127.0.0.1", port: 1)
      ) {
        $0.protection.maxClientsPerAddress = 1
        $0.protection.acceptRatePerAddress = nil
      }
      guard case .tcp(_, let port) = test.endpoint else { return }
      func connect(_ source: String) throws -> RawSocket {
        try RawSocket(to: .tcp(host: isV4 ? "127.0.0.1" : "::1", port: port), from: .tcp(host: source, port: 0))
      }
      let first = try RawClient(connect(offender))
      // Until it is not heard any more: then its attempts to connect are not answered at all.
      var unheard: [RawSocket] = []
      for _ in 0..<400 where test.relay[.addressesShunned] == 0 {
        let socket = RawSocket(try SocketCalls.open(.tcp(host: isV4 ? "127.0.0.1" : "::1", port: port)))
        try SocketCalls.bind(socket.descriptor, .tcp(host: offender, port: 0))
        try SocketCalls.connect(socket.descriptor, .tcp(host: isV4 ? "127.0.0.1" : "::1", port: port))
        _ = SocketCalls.wait(socket.descriptor, POLLIN, milliseconds: 20)
        unheard.append(socket)
      }
      #expect(test.eventually(.addressesShunned, is: 1))
      let late = RawSocket(try SocketCalls.open(test.endpoint))
      try SocketCalls.bind(late.descriptor, .tcp(host: offender, port: 0))
      try SocketCalls.connect(late.descriptor, .tcp(host: isV4 ? "127.0.0.1" : "::1", port: port))
      #expect(!SocketCalls.wait(late.descriptor, POLLOUT, milliseconds: 100))
      // A neighbour is heard, and let in.
      let other = try RawClient(connect(neighbour))
      #expect(first.id != other.id)
      #expect(test.relay[.sessionsStarted] == 2)
    }
  }

  /// A client that resets its connection before it is accepted counts for its address all the same: nobody gets past
  /// limits that way.
  @Test(arguments: ["127.0.0.1", "::1"]) func `a client that is gone before the accept counts`(host: String) throws {
    let backend = try RawBackend()
    let attempts = 5
    let test = try TestRelay(listeners: [.tcp(host: host, port: 0)], backend: backend.endpoint) {
      $0.protection.limitsLoopback = true
      $0.protection.acceptRatePerAddress = Rate(2, per: .minute)
    } beforeItAccepts: { relay in
      for _ in 0..<attempts {
        let socket = try RawSocket(to: relay.endpoints[0])
        try socket.send(Array("GET / HTTP/1.1\r\n".utf8))
        socket.reset()
      }
    }
    #expect(test.eventually { test.relay[.clientsAccepted] + test.relay[.clientsRefused] == UInt64(attempts) })
    #expect(test.eventually(.refusedAddressAcceptRate, is: 3))
  }
}
