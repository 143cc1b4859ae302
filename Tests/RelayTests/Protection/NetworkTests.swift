import Testing

@testable import Relay

@Suite struct NetworkTests {
  private func address(_ text: String) throws -> ClientAddress {
    ClientAddress(bits: try Network(text).addresses.lowerBound)
  }

  @Test(arguments: [
    ("10.0.0.0/8", ["10.0.0.0", "10.255.255.255"], ["9.255.255.255", "11.0.0.0", "::1"]),
    ("192.0.2.7", ["192.0.2.7"], ["192.0.2.6", "192.0.2.8"]),
    ("0.0.0.0/0", ["0.0.0.0", "255.255.255.255"], ["::1", "2001:db8::"]),
    ("::/0", ["::1", "10.0.0.1", "ffff::"], []),
    ("2001:db8::/32", ["2001:db8::", "2001:db8:ffff::1"], ["2001:db9::", "10.0.0.1"]),
    ("::ffff:192.0.2.0/120", ["192.0.2.1", "::ffff:192.0.2.255"], ["192.0.3.0"]),
  ])
  func contains(network: String, members: [String], others: [String]) throws {
    let list = NetworkList([try Network(network)])
    for member in members { #expect(list.contains(try address(member)), "\(member)") }
    for other in others {
      let address = try address(other)
      #expect(!list.contains(address), "\(other)")
    }
  }

  @Test func manyThatOverlapAndNest() throws {
    let list = NetworkList(
      try ["10.0.0.0/8", "10.1.0.0/16", "9.0.0.0/8", "172.16.0.0/12", "172.17.1.1", "fd00::/8"].map { try Network($0) })
    for member in ["9.0.0.0", "10.1.2.3", "10.200.0.1", "172.16.0.1", "172.31.255.255", "fd12::1"] {
      #expect(list.contains(try address(member)), "\(member)")
    }
    for other in ["8.255.255.255", "11.0.0.0", "172.32.0.0", "fc00::", "fe00::"] {
      #expect(!list.contains(try address(other)), "\(other)")
    }
    #expect(!NetworkList([]).contains(try address("10.0.0.1")))
  }

  @Test(arguments: [
    ("", "'' is not an IPv4 or IPv6 address"), ("host", "'host' is not an IPv4 or IPv6 address"),
    ("10.0.0", "'10.0.0' is not an IPv4 or IPv6 address"), ("10.0.0.0/33", "'33' is not a prefix length from 0 to 32"),
    ("::/129", "'129' is not a prefix length from 0 to 128"), ("::/", "'' is not a prefix length from 0 to 128"),
    ("::/+1", "'+1' is not a prefix length from 0 to 128"), ("::/1/2", "'1/2' is not a prefix length from 0 to 128"),
    ("10.0.0.1/8", "it has bits set after its prefix of 8 bits"),
    ("10.0.0.1\0/8", "'10.0.0.1\0' is not an IPv4 or IPv6 address"),
    ("10.0.0.1\0x", "'10.0.0.1\0x' is not an IPv4 or IPv6 address"),
    ("::1\0", "'::1\0' is not an IPv4 or IPv6 address"),
  ])
  func refused(text: String, reason: String) {
    #expect(throws: Network.Malformed(reason: reason)) { try Network(text) }
  }

  @Test(arguments: [
    ("0.0.0.0/0", true), ("10.0.0.0/8", true), ("10.0.0.0/15", true), ("10.0.0.0/16", false), ("10.0.0.1", false),
    ("::/0", true), ("2001:d00::/24", true), ("2001:db8::/31", true), ("2001:db8::/32", false), ("::1", false),
    ("::ffff:0:0/96", true), ("::ffff:10.0.0.0/112", false), ("::/80", true), ("::/97", false),
  ])
  func wide(network: String, isWide: Bool) throws { #expect(try Network(network).isWide == isWide) }

  @Test(arguments: [
    ("2001:db8::1", "2001:db8:0:0::/64"), ("2001:db8:0:1:8000::/65", "2001:db8:0:1::/64"),
    ("2001:db8::/64", "2001:db8::/64"), ("2001:db8::/48", "2001:db8::/48"), ("2002:c000:201::1", "2002:c000:201::/48"),
    ("192.0.2.1", "192.0.2.1"), ("::ffff:192.0.2.1", "::ffff:192.0.2.1"), ("64:ff9b::1", "64:ff9b::1"), ("::1", "::1"),
    ("fe80::1", "fe80::1"), ("::/0", "::/0"),
  ])
  func ofWholeClients(network: String, whole: String) throws {
    let found = try Network(network).ofWholeClients
    #expect(try found.description == whole && found.isSame(as: Network(whole)))
  }

  @Test func anAddressIsOneIPv4OrA64() throws {
    let same = try address("2001:db8:0:1::").key
    #expect(try address("2001:db8:0:1:ffff::9").key == same)
    #expect(try address("2001:db8:0:2::").key != same)
    #expect(try address("2001:db8:0:ff::").key.prefix == same.prefix)
    #expect(try address("2001:db8:0:100::").key.prefix != same.prefix)
    #expect(try address("192.0.2.1").key != address("192.0.2.2").key)
    #expect(try address("192.0.2.1").key.prefix == address("192.0.2.2").key.prefix)
    #expect(try address("192.0.2.1").key == address("::ffff:192.0.2.1").key)
    #expect(try address("192.0.2.1").key.description == "192.0.2.1")
    #expect(same.description == "2001:db8:0:1::/64")
  }

  /// Forms of IPv6 addresses with an IPv4 address inside: a client with another one is another client.
  @Test(arguments: [
    (["64:ff9b::192.0.2.1"], "64:ff9b::192.0.2.2", "64:ff9b::192.0.3.1", "64:ff9b::192.0.2.1"),
    (["64:ff9b:1::192.0.2.1"], "64:ff9b:1::192.0.2.2", "64:ff9b:1::192.0.3.1", "192.0.2.1 in 64:ff9b:1::/48"),
    (["64:ff9b:1:7::192.0.2.1"], "64:ff9b:1:7::192.0.2.2", "64:ff9b:1:7::192.0.3.1", "192.0.2.1 in 64:ff9b:1::/48"),
    // Behind 64, 56 and 48 bits of prefix (RFC 6052, 2.2).
    (
      ["64:ff9b:1:7:c0:2:100::", "64:ff9b:1:8:c0:2:100::"], "64:ff9b:1:7:c0:2:200::", "64:ff9b:1:7:c0:3:100::",
      "192.0.2.1 in 64:ff9b:1::/48"
    ),
    (["64:ff9b:1:7c0:0:201::"], "64:ff9b:1:7c0:0:202::", "64:ff9b:1:7c0:0:301::", "192.0.2.1 in 64:ff9b:1::/48"),
    (["64:ff9b:1:c000:2:100::"], "64:ff9b:1:c000:2:200::", "64:ff9b:1:c000:3:100::", "192.0.2.1 in 64:ff9b:1::/48"),
    (["::ffff:0:192.0.2.1"], "::ffff:0:192.0.2.2", "::ffff:0:192.0.3.1", "::ffff:0:192.0.2.1"),
    (["::192.0.2.1"], "::192.0.2.2", "::192.0.3.1", "::192.0.2.1"),
    (
      ["2002:c000:201::1", "2002:c000:201:ffff:1:2:3:4"], "2002:c000:202::1", "2002:c000:301::1",
      "2002:c000:201::/48"
    ),
    // Of any server, flags and port: none of it says who the client is.
    (
      ["2001:0:1:2:8000:63bf:3fff:fdfe", "2001:0:a:b:0:1:3fff:fdfe"], "2001:0:1:2:8000:63bf:3fff:fdfd",
      "2001:0:1:2:8000:63bf:3fff:fcfe", "192.0.2.1 in 2001::/32 (Teredo)"
    ),
  ])
  func anIPv4AddressInside(_ same: [String], _ beside: String, _ elsewhere: String, _ name: String) throws {
    let keys = try same.map { try address($0).key }
    #expect(Set(keys).count == 1)
    #expect(keys[0].description == name)
    let (neighbour, stranger) = (try address(beside).key, try address(elsewhere).key)
    #expect(neighbour != keys[0])
    #expect(neighbour.prefix == keys[0].prefix)
    #expect(stranger.prefix != keys[0].prefix)
    for text in same { #expect(try address(text).alike.contains(address(text).bits)) }
    // Making such an address up does nothing to the IPv4 address, nor to its network.
    for (form, text) in [("v4", "192.0.2.1")] {
      let inside = try address(text).key
      #expect(!keys.contains(inside), "\(form)")
      #expect(!keys.map(\.prefix).contains(inside.prefix), "\(form)")
    }
  }

  /// No two forms have a key or a network in common, nor has one with any IPv6 address.
  @Test func formsAreApart() throws {
    let texts = [
      "192.0.2.1", "64:ff9b::192.0.2.1", "64:ff9b:1::192.0.2.1", "64:ff9b:1:7:c0:2:100::", "::ffff:0:192.0.2.1",
      "::192.0.2.1", "2002:c000:201::1", "2001:0:1:2:8000:63bf:3fff:fdfe", "fe80::c000:201", "2001:db8::c000:201",
      "64:ff9b:2::192.0.2.1", "2001:1::1", "::1",
    ]
    let keys = try texts.map { try address($0).key }
    #expect(Set(keys).count == keys.count)
    #expect(Set(keys.map(\.prefix)).count == keys.count)
    #expect(Set(AddressKey.Form.allCases.map(\.rawValue)).count == AddressKey.Form.allCases.count)
    // No source of a connection begins so: those are groups.
    #expect(AddressKey.Form.allCases.allSatisfy { $0.rawValue >> 24 == 0xff })
  }

  /// Anybody can make these up in a /64 of their own: no new key for it.
  @Test func isatapIsNoForm() throws {
    #expect(try address("2001:db8::5efe:192.0.2.1").key == address("2001:db8::200:5efe:192.0.2.2").key)
  }

  /// Neighbours on a link are told apart, and are one network.
  @Test func linkLocalAddresses() throws {
    let texts =
      (0..<1000).map { "fe80::\(String($0, radix: 16))" } + ["febf::1", "fe80::5efe:192.0.2.1", "fe80::1:0:0:1"]
    let keys = try texts.map { try address($0).key }
    #expect(Set(keys).count >= texts.count - 1)
    #expect(Set(keys.map(\.prefix)).count == 1)
    #expect(try address("fec0::1").key == address("fec0::2").key)
    #expect(keys[0].description == "one address of fe80::/10")
    #expect(!keys[0].canBeShunned)
    #expect(keys.allSatisfy { $0.isLinkLocal && $0.form == nil })
  }

  @Test func theLoopback() throws {
    for text in ["127.0.0.1", "127.255.0.1", "::1", "::ffff:127.0.0.1"] { #expect(try address(text).isLoopback) }
    for text in ["128.0.0.1", "126.255.255.255", "::2", "::7f00:1"] {
      let other = try address(text)
      #expect(!other.isLoopback)
    }
  }

  @Test func rangesInAList() throws {
    let list = NetworkList([try Network("2001:db8::/64"), try Network("2001:db8:0:1::7"), try Network("10.0.0.0/8")])
    let alike = try ["2001:db8::1", "2001:db8:0:1::1", "2001:db8:0:2::1", "10.9.9.9", "11.0.0.0", "9.255.255.255"].map {
      ClientAddress(bits: try Network($0).addresses.lowerBound).alike
    }
    #expect(alike.map { list.hasAll($0) } == [true, false, false, true, false, false])
    #expect(alike.map { list.hasAny($0) } == [true, true, false, true, false, false])
    #expect(alike[0] == (try Network("2001:db8::/64")).addresses)
    #expect(alike[3].count == 1)
  }
}
