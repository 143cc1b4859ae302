import Relay
import VoltlaneSettings

/// A setting that protects the relay or its clients and can be changed while it runs, with when another value protects
/// less. A reload that lowers one is told at `warning`, because a file that lost a line by mistake looks like one that
/// somebody meant.
struct Safeguard: Sendable {
  let setting: String
  /// Whether the second configuration protects less than the first.
  let isLowered: @Sendable (RelayConfiguration, RelayConfiguration) -> Bool

  static let all: [Safeguard] = [
    // What may be there at a time, or how fast it may come.
    limit(Settings.maxClients, \.protection.maxClients),
    limit(Settings.maxClientsPerIP, \.protection.maxClientsPerAddress),
    limit(Settings.maxClientsPerPrefix, \.protection.maxClientsPerPrefix),
    limit(Settings.maxPendingHandshakes, \.protection.maxPendingHandshakes),
    limit(Settings.maxPendingHandshakesPerIP, \.protection.maxPendingHandshakesPerAddress),
    rate(Settings.acceptRate, \.protection.acceptRate),
    rate(Settings.acceptRatePerIP, \.protection.acceptRatePerAddress),
    rate(Settings.banAfter, \.protection.banAfter),
    rate(Settings.reconnectFailures, \.protection.reconnectFailures),
    rate(Settings.reconnectFailuresPerIP, \.protection.reconnectFailuresPerAddress),
    rate(Settings.clientPacketRate, \.protection.clientPacketRate),
    rate(Settings.clientByteRate, \.protection.clientByteRate),
    // How long somebody may keep what others need.
    limit(Settings.handshakeTimeout, \.protection.handshakeTimeout),
    limit(Settings.packetTimeout, \.packetTimeout),
    limit(Settings.idleTimeout, \.protection.idleTimeout),
    limit(Settings.slowClientTimeout, \.protection.slowClientTimeout),
    // What is kept.
    limit(Settings.clientSendBuffer, \.clientSendBuffer),
    limit(Settings.assemblyBudget, \.assemblyBudget),
    limit(Settings.missedPacketsBuffer, \.missedPacketsBuffer),
    limit(Settings.missedPacketsTotal, \.missedPacketsTotal),
    limit(Settings.maxStaleClients, \.maxStaleClients),
    limit(Settings.memoryBudget, \.protection.memoryBudget),
    // The other way round.
    Safeguard(setting: Settings.banFor.name) { $1.protection.banTime < $0.protection.banTime },
    Safeguard(setting: Settings.ratePolicy.name) {
      $0.protection.ratePolicy == .end && $1.protection.ratePolicy != .end
    },
    Safeguard(setting: Settings.limitLoopback.name) { $0.protection.limitsLoopback && !$1.protection.limitsLoopback },
    // Who is kept out, who is let off, and whose word counts for whom.
    Safeguard(setting: Settings.deny.name) { !$1.protection.denied.cover($0.protection.denied) },
    Safeguard(setting: Settings.allow.name) { !$0.protection.allowed.cover($1.protection.allowed) },
    Safeguard(setting: Settings.proxyProtocol.name) { old, new in
      !old.protection.proxies.cover(new.protection.proxies)
        || new.protection.trustsUnixProxies && !old.protection.trustsUnixProxies
    },
  ]

  /// Settings that can be changed and of which no value protects more than another. What sessions without a socket cost
  /// is bounded by their number and their packets, however long they last.
  static let others: Set<String> = Set(
    [
      Settings.staleTimeout.name, Settings.halfCloseTimeout.name, Settings.backendTimeout.name, Settings.announce.name,
      Settings.backendLoss.name, Settings.backendLossTimeout.name,
      Settings.shutdownTimeout.name, Settings.logLevel.name, Settings.reject.name,
    ])

  private static func limit<Kind, Value: Comparable & SendableMetatype>(
    _ setting: Setting<Kind>, _ value: KeyPath<RelayConfiguration, Value> & Sendable
  ) -> Safeguard {
    Safeguard(setting: setting.name) { $1[keyPath: value] > $0[keyPath: value] }
  }

  /// nil is no limit.
  private static func limit<Kind, Value: Comparable & SendableMetatype>(
    _ setting: Setting<Kind>, _ value: KeyPath<RelayConfiguration, Value?> & Sendable
  ) -> Safeguard {
    Safeguard(setting: setting.name) { old, new in
      guard let old = old[keyPath: value] else { return false }
      return new[keyPath: value].map { $0 > old } ?? true
    }
  }

  private static func rate<Kind>(
    _ setting: Setting<Kind>, _ value: KeyPath<RelayConfiguration, Rate?> & Sendable
  ) -> Safeguard {
    Safeguard(setting: setting.name) { old, new in
      guard let old = old[keyPath: value] else { return false }
      return new[keyPath: value].map { $0.allowsMore(than: old) } ?? true
    }
  }
}

extension Rate {
  /// In the long run or at once.
  fileprivate func allowsMore(than other: Rate) -> Bool {
    burst > other.burst || perMinute > other.perMinute
  }

  private var perMinute: Int { count * Int(Period.minute.rawValue / period.rawValue) }
}

extension [Network] {
  /// Whether every address of `others` is in these.
  fileprivate func cover(_ others: [Network]) -> Bool {
    others == self || Network.cover(self, others)
  }
}
