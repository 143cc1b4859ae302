import ArgumentParser
import Logging
import Relay
import Testing
import VoltlaneSettings
import VoltlaneText

@testable import Voltlane

/// Each flag: its default, what it accepts, what it refuses and in which words.
@Suite struct SettingsTests {
  // MARK: Accepted

  @Test func defaults() throws {
    let program = try configure([])
    #expect(program.relay.listeners == [.tcp(host: "127.0.0.1", port: 42000)])
    #expect(program.relay.backend == .tcp(host: "127.0.0.1", port: 42001))
    #expect(!program.embedsEcho)
    #expect(program.relay.threads == .upTo(4))
    #expect(program.relay.firehoseCore == .moving)
    #expect(program.relay.shards == 4)
    #expect(program.relay.cpus == [])
    #expect(program.relay.handshakeWorkers == 1)
    #expect(program.relay.maxPacketSize == 8_388_599)
    #expect(program.relay.clientSendBuffer == 8 << 20)
    #expect(program.relay.clientReceiveBuffer == 128 << 10)
    #expect(program.relay.packetTimeout == .seconds(30))
    #expect(program.relay.assemblyBudget == 1 << 30)
    #expect(program.relay.staleTimeout == .seconds(300))
    #expect(program.relay.maxStaleClients == 65535)
    #expect(program.relay.missedPacketsBuffer == 65536)
    #expect(program.relay.missedPacketsTotal == 1 << 30)
    #expect(program.relay.halfCloseTimeout == .seconds(5))
    #expect(program.relay.keepalive == .seconds(30))
    #expect(program.relay.coalesceTime == .microseconds(100))
    #expect(program.relay.tcpUserTimeout == .seconds(60))
    #expect(program.relay.backendTimeout == .seconds(30))
    #expect(program.relay.announce && !program.relay.tellsAway && !program.relay.tellsAddresses)
    #expect(program.relay.backendLoss == .hold)
    #expect(program.relay.backendLossTimeout == nil)
    #expect(program.identity == nil)
    #expect(program.relay.congestionControl == nil)
    #expect(program.relay.shutdownTimeout == .seconds(5))
    #expect(program.relay.eventLevel == .info)
    #expect(program.logLevel == .info)
    #expect(program.logFormat == .text)
  }

  @Test func listen() throws {
    let arguments = [
      "--listen", "[::]:1", "--listen=unix:/run/v.sock", "--listen", "0.0.0.0:0", "--listen", "0.0.0.0:0",
    ]
    #expect(
      try configure(arguments).relay.listeners == [
        .tcp(host: "::", port: 1), .unix(path: "/run/v.sock"), .tcp(host: "0.0.0.0", port: 0),
        .tcp(host: "0.0.0.0", port: 0),
      ])
  }

  @Test func listenOnSocketsThatArePassed() throws {
    let program = try configure(["--listen", "systemd:clients", "--listen", "a:1", "--listen", "systemd:42"])
    #expect(
      program.listeners == [
        .passed("clients"), .address(.tcp(host: "a", port: 1)),
        .address(.tcp(host: "systemd", port: 42)),
      ])
    #expect(program.relay.listeners == [.tcp(host: "a", port: 1), .tcp(host: "systemd", port: 42)])
    #expect(try configure(["--listen", "systemd:clients"]).relay.listeners.isEmpty)
    let error = try refusal(["--listen", "systemd:a", "--listen", "b:1", "--listen", "systemd:a"])
    #expect(error?.description.hasPrefix("--listen: 'systemd:a' is not allowed: it was given before.") == true)
    let own = try refusal(["--listen", "systemd:a", "--listen", "10.0.0.1:7", "--backend", "10.0.0.1:7"])
    #expect(own?.description.contains("it is the relay's own address: --listen 10.0.0.1:7") == true)
  }

  @Test(arguments: ["--backend", "--master"]) func backend(flag: String) throws {
    #expect(try configure([flag, "10.0.0.5:7"]).relay.backend == .tcp(host: "10.0.0.5", port: 7))
    #expect(try configure([flag, "unix:/b.sock"]).relay.backend == .unix(path: "/b.sock"))
    #expect(try configure([flag, "10.0.0.5:7"]).embedsEcho == false)
    #expect(try configure([flag, "echo"]).embedsEcho)
  }

  @Test(arguments: [
    (1, 1), (2, 2), (3, 3), (64, 64), (300, 256),
  ])
  func automaticThreads(cpuCount: Int, shards: Int) throws {
    for flags in [[], ["--threads", "auto", "--shards", "auto", "--firehose-core", "auto"]] {
      let relay = try configure(flags, on: .test(cpuCount: cpuCount)).relay
      #expect(relay.threads == .upTo(shards))
      #expect(relay.firehoseCore == .moving)
      #expect(relay.shards == shards)
    }
  }

  @Test(arguments: [
    (1, 1, FirehoseCore.shared, 1), (2, 1, .shared, 2), (8, 2, .shared, 8), (8, 3, .own, 7), (2, 4, .own, 4),
    (1, 256, .own, 256),
  ])
  func aNumberOfThreads(cpuCount: Int, threads: Int, core: FirehoseCore, shards: Int) throws {
    let relay = try configure(["--threads", "\(threads)"], on: .test(cpuCount: cpuCount)).relay
    #expect(relay.threads == .fixed(threads))
    #expect(relay.firehoseCore == core)
    #expect(relay.shards == shards)
  }

  @Test(arguments: [(1, "own", 1), (2, "own", 1), (2, "shared", 2), (8, "shared", 8), (8, "own", 7)])
  func shardsFollowTheFirehose(cpuCount: Int, core: String, shards: Int) throws {
    let relay = try configure(["--firehose-core", core], on: .test(cpuCount: cpuCount)).relay
    #expect(relay.firehoseCore.rawValue == core)
    #expect(relay.shards == shards)
  }

  @Test func cpuQuotaCountsAsFewerCPUs() throws {
    var machine = Machine.test(cpuCount: 64)
    machine.cpuQuota = 2
    let relay = try configure([], on: machine).relay
    #expect(relay.threads == .upTo(2) && relay.shards == 2)
    #expect(relay.cpuTime == nil)
    machine.cpuTime = 1.5
    #expect(try configure([], on: machine).relay.cpuTime == 1.5)
  }

  @Test(arguments: [("1", 1), ("4", 4), ("256", 256)]) func shards(text: String, count: Int) throws {
    #expect(try configure(["--shards", text]).relay.shards == count)
  }

  @Test func cpus() throws {
    #expect(try configure(["--cpus", "4,0-1"]).relay.cpus == [4, 0, 1])
    #expect(try configure(["--cpus", "auto"]).relay.cpus == [])
    // What is auto counts the CPUs given.
    let relay = try configure(["--cpus", "4,5"]).relay
    #expect(relay.threads == .upTo(2) && relay.shards == 2)
  }

  @Test(arguments: [(1, 1), (4, 1), (5, 2), (64, 16), (1000, 64)])
  func automaticHandshakeWorkers(cpuCount: Int, workers: Int) throws {
    #expect(try configure([], on: .test(cpuCount: cpuCount)).relay.handshakeWorkers == workers)
  }

  @Test func handshakeWorkers() throws {
    #expect(try configure(["--handshake-workers", "64"]).relay.handshakeWorkers == 64)
    #expect(try configure(["--handshake-workers", "auto"]).relay.handshakeWorkers == 1)
  }

  @Test(arguments: [
    ("1", 1), ("8388599", 8_388_599), ("64KiB", 65536), ("2mib", 2 << 20), ("1GiB", 1 << 30), ("3KB", 3000),
    ("1MB", 1_000_000), ("1GB", 1_000_000_000),
  ])
  func maxPacketSize(text: String, bytes: Int) throws {
    #expect(try configure(["--max-packet-size", text]).relay.maxPacketSize == bytes)
  }

  @Test func clientReceiveBuffer() throws {
    #expect(try configure(["--client-receive-buffer", "4KiB"]).relay.clientReceiveBuffer == 4096)
  }

  @Test func clientSendBuffer() throws {
    #expect(try configure(["--client-send-buffer", "64KiB"]).relay.clientSendBuffer == 65536)
  }

  @Test(arguments: [
    ("1ms", Duration.milliseconds(1)), ("90s", .seconds(90)), ("5m", .seconds(300)), ("24h", .seconds(86400)),
  ])
  func packetTimeout(text: String, duration: Duration) throws {
    #expect(try configure(["--packet-timeout", text]).relay.packetTimeout == duration)
  }

  @Test(arguments: ["0", "0s", "0ms", "0h"]) func noTimeIsNoLimit(text: String) throws {
    for flag in ["--packet-timeout", "--handshake-timeout", "--idle-timeout", "--slow-client-timeout"] {
      let relay = try configure([flag, text]).relay
      #expect(
        [
          relay.packetTimeout, relay.protection.handshakeTimeout, relay.protection.idleTimeout,
          relay.protection.slowClientTimeout,
        ].count { $0 == nil } == (flag == "--idle-timeout" ? 1 : 2))
    }
  }

  @Test func shutdownTimeout() throws {
    #expect(try configure(["--shutdown-timeout", "0s"]).relay.shutdownTimeout == .zero)
    #expect(try configure(["--shutdown-timeout", "1h"]).relay.shutdownTimeout == .seconds(3600))
  }

  @Test func assemblyBudget() throws {
    #expect(try configure(["--assembly-budget", "8388599"]).relay.assemblyBudget == 8_388_599)
    #expect(try configure(["--assembly-budget", "auto"]).relay.assemblyBudget == 1 << 30)
  }

  /// On a small machine the eighth is less than a packet, which must fit all the same.
  @Test func automaticAssemblyBudgetHoldsOnePacket() throws {
    var machine = Machine.test
    machine.memory = 32 << 20
    #expect(try configure([], on: machine).relay.assemblyBudget == 8_388_599)
    machine.memory = 1 << 30
    #expect(try configure(["--max-packet-size", "1GiB"], on: machine).relay.assemblyBudget == 1 << 30)
  }

  @Test func staleTimeout() throws {
    #expect(try configure(["--stale-timeout", "0"]).relay.staleTimeout == .zero)
    #expect(try configure(["--stale-timeout", "168h"]).relay.staleTimeout == .seconds(7 * 86400))
  }

  @Test(arguments: [("0", 0), ("16777216", 1 << 24)]) func maxStaleClients(text: String, count: Int) throws {
    #expect(try configure(["--max-stale-clients", text]).relay.maxStaleClients == count)
  }

  @Test func missedPackets() throws {
    #expect(try configure(["--missed-packets-buffer", "0"]).relay.missedPacketsBuffer == 0)
    #expect(try configure(["--missed-packets-buffer", "1MiB"]).relay.missedPacketsBuffer == 1 << 20)
    #expect(try configure(["--missed-packets-total", "8388603"]).relay.missedPacketsTotal == 8_388_603)
  }

  /// As with unfinished packets, but a kept packet counts 4 bytes more than its data.
  @Test func automaticTotalOfMissedPacketsHoldsOnePacket() throws {
    var machine = Machine.test
    machine.memory = 32 << 20
    #expect(try configure([], on: machine).relay.missedPacketsTotal == 8_388_603)
  }

  @Test func lostConnections() throws {
    let relay = try configure([
      "--half-close-timeout", "250ms", "--keepalive", "9h", "--tcp-user-timeout", "1500ms", "--backend-timeout", "1s",
    ]).relay
    #expect(relay.halfCloseTimeout == .milliseconds(250))
    #expect(relay.keepalive == .seconds(9 * 3600))
    #expect(relay.tcpUserTimeout == .milliseconds(1500))
    #expect(relay.backendTimeout == .seconds(1))
  }

  @Test func zeroSwitchesOff() throws {
    let relay = try configure(["--half-close-timeout", "0", "--keepalive", "0", "--tcp-user-timeout", "0"]).relay
    #expect(relay.halfCloseTimeout == .zero && relay.keepalive == .zero && relay.tcpUserTimeout == .zero)
  }

  @Test(arguments: [("on", true), ("off", false)]) func announce(text: String, announce: Bool) throws {
    #expect(try configure(["--announce", text]).relay.announce == announce)
  }

  @Test(arguments: BackendLoss.allCases) func backendLoss(choice: BackendLoss) throws {
    #expect(try configure(["--backend-loss", choice.rawValue]).relay.backendLoss == choice)
  }

  @Test func backendLossTimeout() throws {
    #expect(try configure(["--backend-loss-timeout", "1m"]).relay.backendLossTimeout == .seconds(60))
    #expect(try configure(["--backend-loss-timeout", "off"]).relay.backendLossTimeout == nil)
  }

  @Test(arguments: [BackendLoss.drop, .exit]) func nobodyIsHeldThatCouldTimeOut(choice: BackendLoss) throws {
    let given = ["--backend-loss", choice.rawValue, "--backend-loss-timeout"]
    #expect(try configure(given + ["off"]).relay.backendLossTimeout == nil)
    let error = try #require(try refusal(given + ["1m"]))
    #expect(error.reason == "--backend-loss \(choice.rawValue) holds no clients")
  }

  @Test func identity() throws {
    #expect(try configure(["--identity", "relay.key"]).identity == "relay.key")
    #expect(try configure(["--identity", "./none"]).identity == "./none")
    #expect(try configure(["--identity", "none"]).identity == nil)
  }

  @Test func admin() throws {
    #expect(try configure([]).admin.endpoint == nil)
    #expect(try configure(["--admin", "none"]).admin.endpoint == nil)
    for text in ["127.0.0.1:42080", "127.9.9.9:1", "[::1]:42080", "localhost:42080", "unix:/a.sock", "127.0.0.1:0"] {
      #expect(try configure(["--admin", text]).admin.endpoint == Endpoint(text))
    }
    let remote = try configure([
      "--admin", "0.0.0.0:42080", "--admin-allow", "10.0.0.0/8", "--admin-allow", "2001:db8::1",
    ]).admin
    #expect(remote.endpoint == .tcp(host: "0.0.0.0", port: 42080))
    #expect(remote.allowed.map(\.description) == ["10.0.0.0/8", "2001:db8::1"])
    #expect(try configure(["--admin-allow", "none"]).admin.allowed.isEmpty)
  }

  @Test func congestionControl() throws {
    #expect(try configure(["--congestion-control", "cubic"]).relay.congestionControl == "cubic")
    #expect(try configure(["--congestion-control", "system"]).relay.congestionControl == nil)
    var silent = Machine.test
    silent.congestionControls = nil
    #expect(try configure(["--congestion-control", "dctcp"], on: silent).relay.congestionControl == "dctcp")
  }

  @Test(
    arguments: [
      ("trace", .debug), ("debug", .debug), ("info", .info), ("notice", .info), ("warning", .warning),
      ("error", .error),
      ("critical", .error),
    ] as [(String, Event.Level)])
  func logLevel(text: String, events: Event.Level) throws {
    let program = try configure(["--log-level", text])
    #expect(program.logLevel.rawValue == text)
    #expect(program.relay.eventLevel == events)
  }

  // MARK: Refused

  /// The flag, the value, and a part of the reason where there is one.
  static let refused: [(flag: String, value: String, reason: String?)] = [
    ("config", "", nil),
    ("listen", "42000", "it has no port"),
    ("listen", "::1:42000", "an IPv6 address needs brackets, as in [::1]:42000"),
    ("listen", "host:99999", "'99999' is not a port"), ("listen", "unix:x", "absolute"),
    ("listen", "", "it has no port"), ("listen", "systemd:", "'' is not a port"),
    ("listen", "systemd:a:b", "and no : , or space"), ("listen", "systemd:caf\u{e9}", "characters of ASCII"),
    ("unix-socket-mode", "rw", nil), ("unix-socket-mode", "0888", nil), ("unix-socket-mode", "1777", nil),
    ("unix-socket-mode", "66", nil), ("unix-socket-mode", "0o660", nil),
    ("unix-socket-group", "no such group", "there is no such group"), ("unix-socket-group", "-1", "no such group"),
    ("unix-socket-group", "4294967295", "no such group"),
    ("backend", "Echo", "it has no port"), ("backend", "10.0.0.5:0", "port 0"), ("backend", "unix:", "absolute"),
    ("shards", "0", nil), ("shards", "257", nil), ("shards", "-1", nil), ("shards", "+1", nil), ("shards", "2.5", nil),
    ("shards", "all", nil), ("shards", "", nil), ("shards", "99999999999999999999", nil),
    ("io", "io_uring", nil), ("io", "kqueue", nil),
    ("firehose-core", "both", nil), ("firehose-core", "Own", nil), ("firehose-core", "moving", nil),
    ("threads", "0", nil), ("threads", "257", nil), ("threads", "many", nil),
    ("cpus", "", "'' is neither a number nor a range"), ("cpus", "0,", "'' is neither"),
    ("cpus", "3-1", "'3-1' is neither"),
    ("cpus", "0-", "'0-' is neither"), ("cpus", "0,0-1", "CPU 0 is listed twice"), ("cpus", "x", "'x' is neither"),
    ("cpus", "0-99999999999", "there is no CPU 99999999999"),
    ("cpus", "0,2", "not allowed to run on CPU 2, only on 0-1,4-5"),
    ("addresses", "1", nil), ("handshake-workers", "0", nil), ("handshake-workers", "65", nil),
    ("max-packet-size", "0", nil), ("max-packet-size", "0KiB", nil), ("max-packet-size", "1073741825", nil),
    ("max-packet-size", "2GiB", nil), ("max-packet-size", "KiB", "not a whole number"),
    ("max-packet-size", "1.5MiB", "not a whole number"), ("max-packet-size", "1 MiB", "not a whole number"),
    ("max-packet-size", "-1", "not a whole number"), ("max-packet-size", "1TiB", "not a whole number"),
    ("max-packet-size", "9223372036854775807GiB", "too large"),
    ("client-send-buffer", "0", nil), ("client-send-buffer", "big", "not a whole number"),
    ("client-send-buffer", "1025GiB", nil),
    ("client-receive-buffer", "4095", nil), ("client-receive-buffer", "1025MiB", nil),
    ("packet-timeout", "30", "it has no unit; write 30s for seconds or 30ms for milliseconds"),
    ("packet-timeout", "25h", nil),
    ("packet-timeout", "-1s", "not a whole number"),
    ("packet-timeout", "1.5s", "not a whole number"), ("packet-timeout", "s", "not a whole number"),
    ("packet-timeout", "9223372036854775807h", "too long"), ("packet-timeout", "soon", "not a whole number"),
    ("assembly-budget", "0", nil), ("assembly-budget", "8388598", "less than --max-packet-size, which is 8388599"),
    ("stale-timeout", "5", "write 5s"), ("stale-timeout", "169h", nil), ("stale-timeout", "00", "write 0s"),
    ("away", "yes", nil), ("max-stale-clients", "16777217", nil), ("max-stale-clients", "-1", nil),
    ("missed-packets-buffer", "none", "not a whole number"), ("missed-packets-buffer", "1025GiB", nil),
    ("missed-packets-total", "0", nil), ("missed-packets-total", "8388602", "the largest packet needs 8388603"),
    ("half-close-timeout", "61m", nil), ("half-close-timeout", "5", "write 5s"),
    ("coalesce-time", "11ms", nil), ("coalesce-time", "100", "it has no unit"),
    ("tcp-user-timeout", "1500us", "it is not in whole milliseconds"),
    ("keepalive", "10h", nil), ("keepalive", "1500ms", "it is not in whole seconds"),
    ("keepalive", "off", "not a whole"),
    ("tcp-user-timeout", "25h", nil), ("backend-timeout", "0", nil), ("backend-timeout", "999ms", nil),
    ("announce", "yes", nil), ("announce", "On", nil), ("backend-loss", "keep", nil), ("backend-loss", "", nil),
    ("backend-loss-timeout", "0", nil), ("backend-loss-timeout", "169h", nil),
    ("backend-loss-timeout", "30", "write 30s"),
    ("identity", "", nil),
    ("congestion-control", "vegas", "this kernel has reno, cubic"), ("congestion-control", "", nil),
    ("shutdown-timeout", "5", "write 5s"), ("shutdown-timeout", "61m", nil),
    ("admin", "42080", "it has no port"), ("admin", "10.0.0.5:42080", "so --admin-allow has to say who may connect"),
    ("admin", "relay.example:42080", "not an address of the loopback"),
    ("admin", "0.0.0.0:42080", "not an address of the loopback"),
    ("admin", "127.0.0.1:42000", "clients connect there"), ("admin", "unix:x", "absolute"),
    ("admin-allow", "10.0.0.1/8", "it has bits set after its prefix of 8 bits"),
    ("admin-allow", "@list", "no file is read here"), ("admin-allow", "unix", "'unix' is not an IPv4 or IPv6 address"),
    ("log-level", "verbose", nil), ("log-level", "INFO", nil), ("log-format", "xml", nil),
    ("control", "127.0.0.1:1", "it is not a unix socket"), ("control", "/run/control", "it has no port"),
    ("control", "unix:relative", "must be absolute"),
    ("drain-time", "30", "write 30s"), ("drain-time", "25h", nil),
    ("max-clients", "-1", nil), ("max-clients", "16777217", nil), ("max-clients-per-ip", "all", nil),
    ("max-clients-per-prefix", "-1", nil),
    ("accept-rate", "20", "it ends neither with /s nor with /m"),
    ("accept-rate", "x/s", "its number, 'x', is not a whole number from 1 up"),
    ("accept-rate", "0/s", "its number, '0', is not a whole number from 1 up"),
    ("accept-rate", "20/s:", "its burst, '', is not a whole number from 1 up"),
    ("accept-rate-per-ip", "20/h", "neither with /s nor with /m"), ("handshake-timeout", "5", "write 5s"),
    ("max-pending-handshakes", "-1", nil), ("max-pending-handshakes-per-ip", "16777217", nil),
    ("ban-after", "often", "neither with /s nor with /m"), ("ban-for", "0", nil), ("ban-for", "25h", nil),
    ("reconnect-failures", "5", "neither with /s nor with /m"),
    ("reconnect-failures-per-ip", "-1/m", "not a whole number from 1 up"),
    ("client-packet-rate", "0/m", "not a whole number from 1 up"), ("client-byte-rate", "1MiB", "neither with /s nor"),
    ("rate-policy", "drop", nil), ("idle-timeout", "999ms", nil), ("slow-client-timeout", "100ms", nil),
    ("memory-budget", "0", nil), ("memory-budget", "half", "not a whole number"),
    ("allow", "@/no/such/file", "/no/such/file: it cannot be read"),
    ("allow", "10.0.0.0/33", "not a prefix length from 0 to 32"),
    ("deny", "10.0.0.1/8", "it has bits set after its prefix of 8 bits"),
    ("deny", "unix", "'unix' is not an IPv4 or IPv6 address"), ("limit-loopback", "yes", nil), ("reject", "no", nil),
    ("tcp-defer-accept", "1500ms", "it is not in whole seconds"), ("backlog", "0", nil), ("backlog", "65536", nil),
    ("proxy-protocol", "Unix", "'Unix' is not an IPv4 or IPv6 address"),
  ]

  @Test func everySettingHasARefusedValue() {
    #expect(Set(Self.refused.map(\.flag)) == Set(Settings.entries.map(\.name)))
  }

  /// The advice for a number without a unit is itself allowed.
  @Test(arguments: [
    ("stale-timeout", "5", "; write 5s for seconds or 5ms for milliseconds"),
    ("idle-timeout", "5", "; write 5s for seconds"), ("packet-timeout", "100000", "; write 100000ms for milliseconds"),
    ("coalesce-time", "5", "; write 5ms for milliseconds or 5us for microseconds"),
    ("coalesce-time", "50", "; write 50us for microseconds"),
    ("coalesce-time", "10001", ""),
  ])
  func numberWithoutUnit(flag: String, number: String, advice: String) throws {
    let error = try #require(try refusal(["--\(flag)", number]))
    #expect(error.reason == "it has no unit\(advice)")
  }

  @Test(arguments: refused) func refusedValue(flag: String, value: String, reason: String?) throws {
    let error = try #require(try refusal(["--\(flag)", value]))
    let message = error.description
    let entry = try #require(Settings.entries.first { $0.name == flag })
    #expect(message.hasPrefix("--\(flag): '\(value)' is not allowed"))
    #expect(message.hasSuffix("Allowed: \(entry.allowed)."))
    if let reason {
      #expect(error.reason?.contains(reason) == true, "\(message)")
    } else {
      #expect(error.reason == nil, "\(message)")
    }
  }

  @Test func sameListenerTwice() throws {
    let error = try refusal(["--listen", "a:1", "--listen", "b:1", "--listen", "a:1"])
    #expect(error?.description.hasPrefix("--listen: 'a:1' is not allowed: it was given before.") == true)
  }

  @Test(arguments: [
    ("127.0.0.1:7", "127.0.0.1:7"), ("0.0.0.0:7", "127.0.0.1:7"), ("[::]:7", "localhost:7"), ("[::1]:7", "0.0.0.0:7"),
    ("Relay.example:7", "relay.example:7"), ("unix:/run/v.sock", "unix:/run/v.sock"),
  ])
  func backendIsNotTheRelayItself(listener: String, backend: String) throws {
    let error = try #require(try refusal(["--listen", "10.0.0.1:7", "--listen", listener, "--backend", backend]))
    #expect(
      error.description.hasPrefix(
        "--backend: '\(backend)' is not allowed: it is the relay's own address: --listen \(listener)."))
    // Elsewhere it may be; and what listens on another address may have the port.
    let other = try configure(["--listen", "10.0.0.1:7", "--backend", backend])
    #expect(other.relay.listeners == [.tcp(host: "10.0.0.1", port: 7)])
  }

  @Test func defaultBackendIsNotTheRelayItself() throws {
    let error = try refusal(["--listen", "10.0.0.1:7", "--listen", "0.0.0.0:42001"])
    #expect(
      error?.description.hasPrefix(
        "--listen: '0.0.0.0:42001' is not allowed: it is where the backend is, --backend 127.0.0.1:42001 by default.")
        == true)
  }

  /// Every setting with one value; --master is --backend.
  @Test(arguments: Settings.entries.filter { !$0.isRepeatable })
  func givenTwice(entry: SettingEntry) throws {
    let error = try #require(
      try refusal(["--\(entry.name)", entry.standard, "--\(entry.alias ?? entry.name)", entry.standard]))
    #expect(
      error.description.hasPrefix(
        "--\(entry.name): '\(entry.standard)' is not allowed: it was given before, as '\(entry.standard)'."))
  }

  /// What the help shows as the default is what not giving the flag does.
  @Test(arguments: Settings.entries) func defaultCanBeWritten(entry: SettingEntry) throws {
    let written = try configure(["--\(entry.name)", entry.standard])
    #expect("\(written)" == "\(try configure([]))")
  }
}

extension SettingEntry: CustomTestStringConvertible {
  public var testDescription: String { name }
}
