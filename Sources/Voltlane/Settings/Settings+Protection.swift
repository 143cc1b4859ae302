import Relay
import VoltlaneSettings

/// The settings that protect the relay and its clients from one another.
extension Settings {
  private typealias Protection = ProtectionConfiguration

  static let maxClients = Setting(
    name: "max-clients", placeholder: "N|auto", standard: "auto",
    allowed: "auto, 0 or \(numbers(Protection.countRange))",
    summary: """
      Connections of clients; one more is closed as soon as it was accepted. 'auto': what descriptors and the memory \
      budget have room for. 0: no limit.
      """,
    isReloadable: true,
    read: automatic { text throws(Refusal) in
      Limit(try orNone(number(in: Protection.countRange))(text))
    })

  static let maxClientsPerIP = Setting(
    name: "max-clients-per-ip", placeholder: "N", standard: "64",
    allowed: "0 or \(numbers(Protection.countRange))",
    summary: "Connections of one address, that is an IPv4 address or an IPv6 /64. 0: no limit.",
    isReloadable: true,
    read: orNone(number(in: Protection.countRange)))

  static let maxClientsPerPrefix = Setting(
    name: "max-clients-per-prefix", placeholder: "N", standard: "256",
    allowed: "0 or \(numbers(Protection.countRange))",
    summary: "Connections of one network, that is an IPv4 /24 or an IPv6 /56. 0: no limit.",
    isReloadable: true,
    read: orNone(number(in: Protection.countRange)))

  static let acceptRate = Setting(
    name: "accept-rate", placeholder: "RATE", standard: "0", allowed: "0 or \(Rate.form)",
    summary: "New connections of the relay; those that come faster are refused. 0: no limit.",
    isReloadable: true,
    read: orNone(rate))

  static let acceptRatePerIP = Setting(
    name: "accept-rate-per-ip", placeholder: "RATE", standard: "20/s:40", allowed: "0 or \(Rate.form)",
    summary: "New connections of one address. 0: no limit.",
    isReloadable: true,
    read: orNone(rate))

  static let handshakeTimeout = Setting(
    name: "handshake-timeout", placeholder: "TIME", standard: "5s",
    allowed: "0 or \(durations(Protection.handshakeTimeoutRange))",
    summary: """
      How long a client may take for the whole handshake; time spent inside the relay is not counted. 0: no limit.
      """,
    isReloadable: true,
    read: orNone(duration(in: Protection.handshakeTimeoutRange)))

  static let maxPendingHandshakes = Setting(
    name: "max-pending-handshakes", placeholder: "N", standard: "4096",
    allowed: "0 or \(numbers(Protection.countRange))",
    summary: """
      Connections of each shard that may be in the handshake. At the limit newcomers take the places of those that \
      have kept the relay waiting the longest; where all get on with it, newcomers are refused. 0: no limit.
      """,
    isReloadable: true,
    read: orNone(number(in: Protection.countRange)))

  static let maxPendingHandshakesPerIP = Setting(
    name: "max-pending-handshakes-per-ip", placeholder: "N", standard: "16",
    allowed: "0 or \(numbers(Protection.countRange))",
    summary: "Connections of one address that may be in the handshake. 0: no limit.",
    isReloadable: true,
    read: orNone(number(in: Protection.countRange)))

  static let banAfter = Setting(
    name: "ban-after", placeholder: "RATE", standard: "30/m", allowed: "0 or \(Rate.form)",
    summary: """
      How often one address may break the protocol (malformed handshakes, wrong responses to challenges, packets that \
      are too large) until its new connections are refused. 0: as often as it likes.
      """,
    isReloadable: true,
    read: orNone(rate))

  static let banFor = Setting(
    name: "ban-for", placeholder: "TIME", standard: "5m", allowed: durations(Protection.banTimeRange),
    summary: "How long new connections of a banned address are refused.",
    isReloadable: true,
    read: duration(in: Protection.banTimeRange))

  static let reconnectFailures = Setting(
    name: "reconnect-failures", placeholder: "RATE", standard: "5/m", allowed: "0 or \(Rate.form)",
    summary: """
      How often one address may fail to come back as one client until its attempts at that are refused. 0: no limit.
      """,
    isReloadable: true,
    read: orNone(rate))

  static let reconnectFailuresPerIP = Setting(
    name: "reconnect-failures-per-ip", placeholder: "RATE", standard: "20/m", allowed: "0 or \(Rate.form)",
    summary: "How often one address may fail to come back, as any client, until its attempts are refused. 0: no limit.",
    isReloadable: true,
    read: orNone(rate))

  static let clientPacketRate = Setting(
    name: "client-packet-rate", placeholder: "RATE", standard: "0", allowed: "0 or \(Rate.form)",
    summary: "Packets that a client may send. 0: no limit.",
    isReloadable: true,
    read: orNone(rate))

  static let clientByteRate = Setting(
    name: "client-byte-rate", placeholder: "RATE", standard: "0", allowed: "0 or \(Rate.form), in bytes or with units",
    summary: "Bytes that a client may send, such as 1MiB/s. 0: no limit.",
    isReloadable: true,
    read: orNone(rate))

  static let ratePolicy = Setting(
    name: "rate-policy", placeholder: "pause|end", standard: "pause", allowed: "pause or end",
    summary: "A client over its rates is not read for a while, or its session ends with 'rate limit'.",
    isReloadable: true,
    read: oneOf { RatePolicy(rawValue: $0) })

  static let idleTimeout = Setting(
    name: "idle-timeout", placeholder: "TIME", standard: "0",
    allowed: "0 or \(durations(Protection.idleTimeoutRange))",
    summary: "How long a client may send nothing until its session ends with 'idle timeout'. 0: for ever.",
    isReloadable: true,
    read: orNone(duration(in: Protection.idleTimeoutRange)))

  static let slowClientTimeout = Setting(
    name: "slow-client-timeout", placeholder: "TIME", standard: "10s",
    allowed: "0 or \(durations(Protection.slowClientTimeoutRange))",
    summary: """
      How long a client may take nothing of what waits for it until its session ends with 'slow client'. 0: for ever.
      """,
    isReloadable: true,
    read: orNone(duration(in: Protection.slowClientTimeoutRange)))

  static let memoryBudget = Setting(
    name: "memory-budget", placeholder: "SIZE|auto", standard: "auto",
    allowed: "auto, or \(sizes(Protection.memoryBudgetRange))",
    summary: """
      What the relay may hold for clients. At 85 % of it nobody new is let in; at 95 % sessions end with 'memory', \
      those that hold most first. 'auto': half of memory or of the cgroup's limit.
      """,
    isReloadable: true,
    read: automatic(size(in: Protection.memoryBudgetRange)))

  static let allow = Setting(
    name: "allow", placeholder: "NETWORK|@FILE", standard: "none", allowed: "none, \(NetworkEntry.form)",
    summary: """
      Addresses to which neither limits by address apply nor --deny. May be given several times. The loopback and unix \
      sockets have no limits by address either.
      """,
    isRepeatable: true, isReloadable: true, read: { text throws(Refusal) in try NetworkEntry(text) })

  static let deny = Setting(
    name: "deny", placeholder: "NETWORK|@FILE", standard: "none", allowed: "none, \(NetworkEntry.form)",
    summary: "Addresses whose connections are refused. May be given several times.",
    isRepeatable: true, isReloadable: true, read: { text throws(Refusal) in try NetworkEntry(text) })

  static let limitLoopback = Setting(
    name: "limit-loopback", placeholder: "on|off", standard: "off", allowed: "on or off",
    summary: "Whether limits by address apply to the loopback as well, for tests.",
    isReloadable: true,
    read: oneOf { ["on": true, "off": false][$0] })

  static let reject = Setting(
    name: "reject", placeholder: "close|reset|silent", standard: "close", allowed: "close, reset or silent",
    summary: """
      How a connection is refused to which nothing was sent yet: it is closed, reset, or forgotten without a word to \
      its client (which needs CAP_NET_ADMIN; else the reset goes no further than the next router).
      """,
    isReloadable: true,
    read: oneOf { Rejection(rawValue: $0) })

  static let tcpDeferAccept = Setting(
    name: "tcp-defer-accept", placeholder: "TIME", standard: "0",
    allowed: "0 or \(durations(Protection.deferAcceptRange)), in whole seconds",
    summary: """
      How long the kernel may keep a new TCP connection to itself until its client sends something. 0: not at all.
      """,
    read: orNone(wholeSeconds(duration(in: Protection.deferAcceptRange))))

  static let backlog = Setting(
    name: "backlog", placeholder: "N", standard: "4096", allowed: numbers(Protection.backlogRange),
    summary: "New connections that the kernel keeps until the relay accepts them; net.core.somaxconn bounds it too.",
    read: number(in: Protection.backlogRange))

  static let proxyProtocol = Setting(
    name: "proxy-protocol", placeholder: "NETWORK|@FILE|unix", standard: "none",
    allowed: "none, unix, \(NetworkEntry.form)",
    summary: """
      Load balancers, whose connections all begin with a PROXY header, version 1 or 2, within 3 s: limits see the \
      client that it names. 'unix': those who connect to unix sockets. May be given several times.
      """,
    isRepeatable: true, isReloadable: true, read: { text throws(Refusal) in try NetworkEntry(text, allowsUnix: true) })

  static let protectionEntries: [SettingEntry] = [
    maxClients.entry, maxClientsPerIP.entry, maxClientsPerPrefix.entry, acceptRate.entry, acceptRatePerIP.entry,
    handshakeTimeout.entry, maxPendingHandshakes.entry, maxPendingHandshakesPerIP.entry, banAfter.entry, banFor.entry,
    reconnectFailures.entry, reconnectFailuresPerIP.entry, clientPacketRate.entry, clientByteRate.entry,
    ratePolicy.entry, idleTimeout.entry, slowClientTimeout.entry, memoryBudget.entry, allow.entry, deny.entry,
    limitLoopback.entry, reject.entry, tcpDeferAccept.entry, backlog.entry, proxyProtocol.entry,
  ]

  private static var rate: Reader<Rate> { { text throws(Refusal) in try Rate(setting: text) } }

  /// What `read` reads; 0 is no limit.
  static func orNone<Value>(_ read: @escaping Reader<Value>) -> Reader<Value?> {
    { text throws(Refusal) in text == "0" ? nil : try read(text) }
  }

  /// A time may have its unit also where it is 0.
  static func orNone(_ read: @escaping Reader<Duration>) -> Reader<Duration?> {
    { text throws(Refusal) in
      let isZero = (try? Duration(setting: text, in: .zero ... .zero)) == .zero
      return isZero ? nil : try read(text)
    }
  }
}

/// A count that may be without a limit, as one that was decided is shown.
struct Limit: Equatable, Sendable, CustomStringConvertible {
  var count: Int?

  init(_ count: Int?) { self.count = count }

  var description: String { "\(count ?? 0)" }
}
