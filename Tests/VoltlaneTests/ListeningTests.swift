import Foundation
import Testing

/// Where the program listens on machines whose names and addresses are not as they should be. Each test has a network
/// and a hosts file of its own.
@Suite(.enabled(if: BuiltProgram.canIsolate, "network namespaces need root, and unshare, nsenter and ip"))
struct ListeningTests {
  /// Starts a relay where the hosts file has these lines, once `preparation` has been run besides.
  private func start(
    _ listeners: [String], hosts: [String] = [], _ preparation: String = "true"
  ) throws -> BuiltProgram.Running {
    let hosts = hosts.map { "echo '\($0)'" }.joined(separator: "; ")
    return try BuiltProgram.relay.start(
      listeners.flatMap { ["--listen", $0] } + ["--backend", "echo", "--shards", "2"],
      isolatedAfter: """
        mount --make-rprivate / && mount -t tmpfs none /mnt && { \(hosts.isEmpty ? "true" : hosts); } > /mnt/hosts \
        && mount --bind /mnt/hosts /etc/hosts && ip link set lo up && \(preparation)
        """)
  }

  private func listens(_ log: String) -> [Substring] {
    log.split(separator: "\n").filter { $0.contains("listening on ") }.compactMap { $0.split(separator: " ").last }
  }

  /// Whether a client in the relay's network gets its packet back.
  private func isServed(_ address: String, by relay: BuiltProgram.Running) throws -> Bool {
    let client = try BuiltProgram.client.start([address, "--wait", "1m", "--no-reconnect"], beside: relay)
    client.input.fileHandleForWriting.write(Data("hello\n".utf8))
    let answer = client.output.fileHandleForReading.availableData
    client.send(SIGTERM)
    _ = client.finish()
    return answer == Data("hello\n".utf8)
  }

  private func end(_ relay: BuiltProgram.Running) {
    relay.send(SIGTERM)
    #expect(relay.finish().code == 0)
  }

  @Test func aNameThatHasAnAddressTwice() throws {
    let relay = try start(
      ["localhost:42000"], hosts: ["127.0.0.1 localhost", "127.0.0.1 localhost me", "::1 localhost", "::1 localhost"])
    let log = relay.log(until: "backend is ")
    #expect(Set(listens(log)) == ["127.0.0.1:42000", "[::1]:42000"], "\(log)")
    #expect(try isServed("127.0.0.1:42000", by: relay))
    #expect(try isServed("[::1]:42000", by: relay))
    end(relay)
  }

  /// Where an address is missing the relay says so and listens at the others; when it comes, there too.
  @Test func aNameWithAnAddressThatNoInterfaceHas() throws {
    let relay = try start(
      ["localhost:42000"], hosts: ["127.0.0.1 localhost", "::1 localhost"], "ip -6 address del ::1/128 dev lo")
    let log = relay.log(until: "backend is ")
    #expect(
      log.contains(
        "no interface has the address of [::1]:42000 (of localhost:42000) yet: clients reach it once one does"),
      "\(log)")
    #expect(try isServed("127.0.0.1:42000", by: relay))
    try relay.shell("ip -6 address add ::1/128 dev lo")
    #expect(try isServed("[::1]:42000", by: relay))
    end(relay)
  }

  @Test func aMachineWithoutIPv6() throws {
    let relay = try start(
      ["localhost:42000"], hosts: ["::1 localhost", "127.0.0.1 localhost"],
      "echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6")
    let log = relay.log(until: "backend is ")
    #expect(log.contains("warning  no interface has the address of [::1]:42000"), "\(log)")
    #expect(try isServed("127.0.0.1:42000", by: relay))
    end(relay)
  }

  @Test func anAddressThatIsNotThereYet() throws {
    let relay = try start(["127.0.0.1:42000", "10.9.8.7:42000"])
    let log = relay.log(until: "backend is ")
    #expect(log.contains("warning  no interface has the address of 10.9.8.7:42000 yet"), "\(log)")
    #expect(try isServed("127.0.0.1:42000", by: relay))
    try relay.shell("ip address add 10.9.8.7/32 dev lo")
    #expect(try isServed("10.9.8.7:42000", by: relay))
    end(relay)
  }

  @Test(arguments: [["10.9.8.7:42000"], ["10.9.8.7:42000", "[2001:db8::1]:42000"], ["away:42000"]])
  func nowhereAtAll(_ listeners: [String]) throws {
    let outcome = try start(listeners, hosts: ["10.9.8.7 away"]).finish()
    #expect(outcome.code == 1)
    #expect(
      outcome.errors.contains("cannot start: cannot listen on 10.9.8.7:42000: Cannot assign requested address"),
      "\(outcome.errors)")
  }

  /// Two names for one address, and a wildcard that has it.
  @Test(arguments: [
    (["localhost:42000", "127.0.0.1:42000"], ["127.0.0.1:42000"], "is the same as"),
    (["0.0.0.0:42000", "127.0.0.1:42000"], ["0.0.0.0:42000"], "is covered by"),
    (["127.0.0.1:42000", "0.0.0.0:42000", "[::]:42000"], ["0.0.0.0:42000", "[::]:42000"], "is covered by"),
    (["[::ffff:127.0.0.1]:42000", "127.0.0.1:42000"], ["127.0.0.1:42000"], "is the same as"),
  ])
  func placesThatOverlap(_ listeners: [String], _ expected: [String], _ warning: String) throws {
    let relay = try start(listeners, hosts: ["127.0.0.1 localhost"])
    let log = relay.log(until: "backend is ")
    #expect(listens(log).map(String.init) == expected, "\(log)")
    #expect(log.contains(warning), "\(log)")
    #expect(try isServed("127.0.0.1:42000", by: relay))
    end(relay)
  }

  /// The kernel's reason alone would be "Invalid argument".
  @Test func aLinkLocalAddress() throws {
    let outcome = try start(["[fe80::1]:42000"], "ip -6 address add fe80::1/64 dev lo").finish()
    #expect(outcome.code != 0)
    #expect(outcome.errors.contains("needs its interface, as in [fe80::1%eth0]"), "\(outcome.errors)")
    let relay = try start(["[fe80::1%lo]:42000"], "ip -6 address add fe80::1/64 dev lo nodad")
    let log = relay.log(until: "backend is ")
    #expect(listens(log) == ["[fe80::1%lo]:42000"], "\(log)")
    #expect(try isServed("[fe80::1%lo]:42000", by: relay))
    end(relay)
  }

  @Test func theIPv6WildcardTakesIPv6Only() throws {
    let alone = try start(["[::]:42000"])
    let hint = "[::]:42000 takes clients over IPv6 only; for IPv4 add --listen 0.0.0.0:42000 besides"
    #expect(alone.log(until: "backend is ").contains("info     \(hint)"))
    #expect(try isServed("[::1]:42000", by: alone))
    end(alone)
    let both = try start(["[::]:42000", "0.0.0.0:42000"])
    let log = both.log(until: "backend is ")
    #expect(!log.contains("IPv6 only"), "\(log)")
    #expect(try isServed("127.0.0.1:42000", by: both))
    end(both)
  }
}
