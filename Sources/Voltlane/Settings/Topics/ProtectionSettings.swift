import Relay
import VoltlaneSettings

/// What protects the relay and its clients from one another.
struct ProtectionSettings: SettingsTopic {
  static let title = "Protection"

  let memoryBudget = RelaySetting(
    Setting(
      name: "memory-budget", kind: .automatic(.size(in: ProtectionConfiguration.memoryBudgetRange)), standard: "auto",
      summary: """
        How much memory the relay may hold for clients. At 85 % of it no new client is admitted; at 95 % sessions end \
        with 'memory', starting with those that hold most. 'auto': half of memory or of the cgroup's limit.
        """),
    reload: .guarded(raised: \.protection.memoryBudget), to: \.protection.memoryBudget,
    decide: { _, machine in machine.automaticMemoryBudget })

  let maxClients = RelaySetting(
    Setting(
      name: "max-clients", kind: .automatic(.limit), standard: "auto",
      summary: """
        How many clients may be connected; one more is closed as soon as it is accepted. 'auto': as many as \
        descriptors and the memory budget have room for. 0: no limit.
        """),
    reload: .guarded(raised: \.protection.maxClients), to: \.protection.maxClients,
    decide: { program, machine in
      Limit(
        machine.automaticMaxClients(
          memoryBudget: program.relay.protection.memoryBudget, otherDescriptors: program.relay.otherDescriptors))
    })

  let maxClientsPerIP = RelaySetting(
    Setting(
      name: "max-clients-per-ip", kind: .orNone(.number(in: ProtectionConfiguration.countRange)), standard: "64",
      summary: "Connections of one address, that is, an IPv4 address or an IPv6 /64. 0: no limit."),
    reload: .guarded(raised: \.protection.maxClientsPerAddress), to: \.protection.maxClientsPerAddress)

  let maxClientsPerPrefix = RelaySetting(
    Setting(
      name: "max-clients-per-prefix", kind: .orNone(.number(in: ProtectionConfiguration.countRange)), standard: "256",
      summary: "Connections of one network, that is, an IPv4 /24 or an IPv6 /56. 0: no limit."),
    reload: .guarded(raised: \.protection.maxClientsPerPrefix), to: \.protection.maxClientsPerPrefix)

  let acceptRate = RelaySetting(
    Setting(
      name: "accept-rate", kind: .orNone(.rate), standard: "0",
      summary: "New connections of the relay; those above the rate are refused. 0: no limit."),
    reload: .guarded(raised: \.protection.acceptRate), to: \.protection.acceptRate)

  let acceptRatePerIP = RelaySetting(
    Setting(
      name: "accept-rate-per-ip", kind: .orNone(.rate), standard: "20/s:40",
      summary: "New connections of one address. 0: no limit."),
    reload: .guarded(raised: \.protection.acceptRatePerAddress), to: \.protection.acceptRatePerAddress)

  let handshakeTimeout = RelaySetting(
    Setting(
      name: "handshake-timeout", kind: .orNone(.duration(in: ProtectionConfiguration.handshakeTimeoutRange)),
      standard: "5s",
      summary: """
        How long a client may take for the whole handshake, not counting time spent inside the relay. 0: no limit.
        """),
    reload: .guarded(raised: \.protection.handshakeTimeout), to: \.protection.handshakeTimeout)

  let maxPendingHandshakes = RelaySetting(
    Setting(
      name: "max-pending-handshakes", kind: .orNone(.number(in: ProtectionConfiguration.countRange)), standard: "4096",
      summary: """
        How many connections of each shard may be in the handshake. At the limit new ones take the places of those \
        that have kept the relay waiting longest; if all of those make progress, new ones are refused. 0: no limit.
        """),
    reload: .guarded(raised: \.protection.maxPendingHandshakes), to: \.protection.maxPendingHandshakes)

  let maxPendingHandshakesPerIP = RelaySetting(
    Setting(
      name: "max-pending-handshakes-per-ip", kind: .orNone(.number(in: ProtectionConfiguration.countRange)),
      standard: "16",
      summary: "How many connections of one address may be in the handshake. 0: no limit."),
    reload: .guarded(raised: \.protection.maxPendingHandshakesPerAddress),
    to: \.protection.maxPendingHandshakesPerAddress)

  let banAfter = RelaySetting(
    Setting(
      name: "ban-after", kind: .orNone(.rate), standard: "30/m",
      summary: """
        How often one address may break the protocol (malformed handshakes, wrong responses to challenges, packets \
        that are too large) before its new connections are refused. 0: no limit.
        """),
    reload: .guarded(raised: \.protection.banAfter), to: \.protection.banAfter)

  let banFor = RelaySetting(
    Setting(
      name: "ban-for", kind: .duration(in: ProtectionConfiguration.banTimeRange), standard: "5m",
      summary: "How long new connections of a banned address are refused."),
    reload: .guarded { $1.protection.banTime < $0.protection.banTime }, to: \.protection.banTime)

  let reconnectFailures = RelaySetting(
    Setting(
      name: "reconnect-failures", kind: .orNone(.rate), standard: "5/m",
      summary: """
        How often one address may fail to come back as the same client before further attempts are refused. 0: no \
        limit.
        """),
    reload: .guarded(raised: \.protection.reconnectFailures), to: \.protection.reconnectFailures)

  let reconnectFailuresPerIP = RelaySetting(
    Setting(
      name: "reconnect-failures-per-ip", kind: .orNone(.rate), standard: "20/m",
      summary: """
        How often one address may fail to come back, as any client, before further attempts are refused. 0: no limit.
        """),
    reload: .guarded(raised: \.protection.reconnectFailuresPerAddress), to: \.protection.reconnectFailuresPerAddress)

  let clientPacketRate = RelaySetting(
    Setting(
      name: "client-packet-rate", kind: .orNone(.rate), standard: "0",
      summary: "Packets that a client may send. 0: no limit."),
    reload: .guarded(raised: \.protection.clientPacketRate), to: \.protection.clientPacketRate)

  let clientByteRate = RelaySetting(
    Setting(
      name: "client-byte-rate", kind: .orNone(.rate).allowing("in bytes or with units"), standard: "0",
      summary: "Bytes that a client may send, such as 1MiB/s. 0: no limit."),
    reload: .guarded(raised: \.protection.clientByteRate), to: \.protection.clientByteRate)

  let ratePolicy = RelaySetting(
    Setting(
      name: "rate-policy", kind: SettingKind<RatePolicy>.word, standard: "pause",
      summary: """
        What happens to a client above its rates: 'pause' stops reading from it for a while, 'end' ends its session \
        with 'rate limit'.
        """),
    reload: .guarded { $0.protection.ratePolicy == .end && $1.protection.ratePolicy != .end },
    to: \.protection.ratePolicy)

  let idleTimeout = RelaySetting(
    Setting(
      name: "idle-timeout", kind: .orNone(.duration(in: ProtectionConfiguration.idleTimeoutRange)), standard: "0",
      summary: "How long a client may send nothing before its session ends with 'idle timeout'. 0: no limit."),
    reload: .guarded(raised: \.protection.idleTimeout), to: \.protection.idleTimeout)

  let slowClientTimeout = RelaySetting(
    Setting(
      name: "slow-client-timeout", kind: .orNone(.duration(in: ProtectionConfiguration.slowClientTimeoutRange)),
      standard: "10s",
      summary: """
        How long a client may take nothing of what waits for it before its session ends with 'slow client'. 0: no \
        limit.
        """),
    reload: .guarded(raised: \.protection.slowClientTimeout), to: \.protection.slowClientTimeout)

  let allow = RelaySetting(
    Setting(
      name: "allow", kind: .networks, standard: "none",
      summary: """
        Addresses that are exempt from --deny and from limits by address. May be given several times. Loopback and \
        unix sockets have no limits by address either.
        """,
      isRepeatable: true),
    reload: .guarded(grown: \.protection.allowed), to: \.protection.allowed)

  let deny = RelaySetting(
    Setting(
      name: "deny", kind: .networks, standard: "none",
      summary: "Addresses whose connections are refused. May be given several times.",
      isRepeatable: true),
    reload: .guarded(shrunk: \.protection.denied), to: \.protection.denied)

  let limitLoopback = RelaySetting(
    Setting(
      name: "limit-loopback", kind: .onOff, standard: "off",
      summary: "Whether limits by address apply to the loopback as well, for tests."),
    reload: .guarded { $0.protection.limitsLoopback && !$1.protection.limitsLoopback }, to: \.protection.limitsLoopback)

  let reject = RelaySetting(
    Setting(
      name: "reject", kind: SettingKind<Rejection>.word, standard: "close",
      summary: """
        How a connection is refused to which nothing was sent yet: it is closed, reset, or forgotten without telling \
        its client (which needs CAP_NET_ADMIN; otherwise the reset only reaches the next router).
        """),
    reload: .yes, to: \.protection.rejection)

  let tcpDeferAccept = RelaySetting(
    Setting(
      name: "tcp-defer-accept", kind: .orNone(.wholeSeconds(in: ProtectionConfiguration.deferAcceptRange)),
      standard: "0",
      summary: """
        How long the kernel may hold back a new TCP connection until its client sends something. 0: not at all.
        """),
    reload: .no, to: \.protection.deferAccept)

  let backlog = RelaySetting(
    Setting(
      name: "backlog", kind: .number(in: ProtectionConfiguration.backlogRange), standard: "4096",
      summary: """
        New connections that the kernel queues until the relay accepts them; net.core.somaxconn bounds it too.
        """),
    reload: .no, to: \.protection.backlog)

  let proxyProtocol = RelaySetting(
    Setting(
      name: "proxy-protocol", kind: .networksAndUnix, standard: "none",
      summary: """
        Load balancers, whose connections must all begin with a PROXY header, version 1 or 2, within 3 s: limits see \
        the client that it names. 'unix': connections to unix sockets. May be given several times.
        """,
      isRepeatable: true),
    reload: .guarded { old, new in
      !old.protection.proxies.cover(new.protection.proxies)
        || new.protection.trustsUnixProxies && !old.protection.trustsUnixProxies
    }, to: \.protection.proxies,
    others: { entries, program in program.relay.protection.trustsUnixProxies = entries.contains(where: \.hasUnix) })
}

extension SettingKind where Value == Limit {
  fileprivate static var limit: SettingKind {
    let count = SettingKind<Int?>.orNone(.number(in: ProtectionConfiguration.countRange))
    return SettingKind(count.placeholder, allowed: count.allowed) { text throws(Refusal) in
      Limit(try count.read(text))
    }
  }
}

extension SettingKind where Value == Rate {
  fileprivate static var rate: SettingKind {
    SettingKind("RATE", allowed: Rate.form) { text throws(Refusal) in try Rate(setting: text) }
  }
}

extension SettingKind where Value == NetworkEntry {
  fileprivate static var networks: SettingKind {
    SettingKind("NETWORK|@FILE", allowed: "none, \(NetworkEntry.form)") { text throws(Refusal) in
      try NetworkEntry(text)
    }
  }

  fileprivate static var networksAndUnix: SettingKind {
    SettingKind("NETWORK|@FILE|unix", allowed: "none, unix, \(NetworkEntry.form)") { text throws(Refusal) in
      try NetworkEntry(text, allowsUnix: true)
    }
  }
}

/// A count, possibly without a limit, as it is shown once it is decided.
struct Limit: Equatable, Sendable, CustomStringConvertible {
  var count: Int?

  init(_ count: Int?) { self.count = count }

  var description: String { "\(count ?? 0)" }
}
