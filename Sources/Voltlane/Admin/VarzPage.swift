import Relay
import VoltlaneSettings
import VoltlaneText

/// `/varz`: everything that the relay knows of itself without asking its threads, as JSON.
enum VarzPage {
  static func json(_ desk: AdminDesk, _ observer: RelayObserver) -> JSON {
    let reason = desk.unreadiness
    return .named([
      ("version", .string(Version.current)), ("io", .string("\(desk.interface)")),
      ("uptime_seconds", .decimal(desk.uptime)),
      ("now", .decimal(System.unixTime())), ("state", .string(observer.isEnding ? "draining" : "running")),
      ("ready", .bool(reason == nil)), ("ready_reason", .string(reason ?? "")), ("clients", .count(observer.clients)),
      ("clients_limit", .count(desk.limits.maxClients ?? 0)),
      (
        "sessions",
        .named([
          ("attached", .count(observer.attachedSessions)), ("stale", .count(observer.staleSessions)),
          ("handshakes", .count(observer.handshakes)),
        ])
      ),
      ("counters", .named(counters(observer))),
      ("ended", .named(CloseReason.allCases.map { ($0.label, .integer(observer[$0.metric])) })),
      ("refused", .named(RefusalReason.allCases.map { ($0.label, .integer(observer[$0.metric])) })),
      ("memory", memory(observer)), ("firehose", firehose(observer)), ("threads", threads(observer)),
      ("shards", .array(observer.shards.enumerated().map(shard))),
      ("histograms", .named(histograms(observer))), ("limits", .array(limits(desk, observer))),
    ])
  }

  /// By the metrics' names, without what all of them have; what has reasons is beside them.
  private static func counters(_ observer: RelayObserver) -> [(String, JSON)] {
    MetricFamily.all.flatMap { family -> [(String, JSON)] in
      guard case .counted(let series) = family.source, !family.isByReason else { return [] }
      return series.map { label, metric in
        (family.shortName + (label.isEmpty ? "" : "_\(label)"), .integer(observer[metric]))
      }
    }
  }

  private static func memory(_ observer: RelayObserver) -> JSON {
    .named([
      ("used_bytes", .count(observer.memoryUsed)), ("budget_bytes", .count(observer.memoryBudget)),
      ("pending_bytes", .count(observer.pendingBytes)), ("missed_bytes", .count(observer.missedBytes)),
      ("missed_budget_bytes", .count(observer.missedLimit)), ("unfinished_bytes", .count(observer.unfinishedBytes)),
      ("unfinished_budget_bytes", .count(observer.unfinishedLimit)),
    ])
  }

  private static func firehose(_ observer: RelayObserver) -> JSON {
    .named([
      ("state", .string("\(observer.firehoseState)")),
      ("oldest_unsent_seconds", .decimal(Double(observer.oldestUnsent) / 1000)),
      ("connected_since_seconds", observer.connectedFor.map(JSON.seconds) ?? .null),
    ])
  }

  /// Threads of the relay with their roles, and the others by name.
  private static func threads(_ observer: RelayObserver) -> JSON {
    .array(
      ThreadTimes.byName().map { thread in
        let roles = observer.threads.first { $0.name == thread.name }?.roles ?? []
        return .named([
          ("name", .string(thread.name)), ("cpu_seconds", .decimal(thread.seconds)),
          ("roles", .array(roles.map(JSON.string))),
        ])
      })
  }

  private static func shard(_ index: Int, _ shard: RelayObserver.ShardView) -> JSON {
    .named([
      ("shard", .count(index)), ("clients", .count(shard.sessions)), ("packets_up", .integer(shard.packetsUp)),
      ("packets_down", .integer(shard.packetsDown)), ("bytes_up", .integer(shard.bytesUp)),
      ("bytes_down", .integer(shard.bytesDown)), ("uplink_fill", .decimal(shard.uplinkFill)),
      ("downlink_fill", .decimal(shard.downlinkFill)),
    ])
  }

  /// Buckets with all values up to their bound, which the last one does not have.
  private static func histograms(_ observer: RelayObserver) -> [(String, JSON)] {
    MetricFamily.all.compactMap { family in
      guard case .distribution(let distribution) = family.source else { return nil }
      let (buckets, sum) = observer.distribution(distribution)
      let bounds = distribution.bounds.map { JSON.decimal(Double($0) / distribution.divisor) } + [.null]
      var count: UInt64 = 0
      let cumulated = zip(bounds, buckets).map { bound, more -> JSON in
        count &+= more
        return .array([bound, .integer(count)])
      }
      return (
        family.shortName,
        .named([
          ("buckets", .array(cumulated)), ("sum", .decimal(Double(sum) / distribution.divisor)),
          ("count", .integer(count)),
        ])
      )
    }
  }

  /// What is bounded, and how much of it is in use.
  private static func limits(_ desk: AdminDesk, _ observer: RelayObserver) -> [JSON] {
    let limits = desk.limits
    let rows: [(String, Int, Int?)] = [
      ("clients", observer.clients, limits.maxClients),
      ("handshakes", observer.handshakes, limits.maxPendingHandshakes),
      ("stale_clients", observer.staleSessions, limits.maxStaleClients),
      ("memory_bytes", observer.memoryUsed, observer.memoryBudget),
      ("missed_bytes", observer.missedBytes, observer.missedLimit),
      ("unfinished_bytes", observer.unfinishedBytes, observer.unfinishedLimit),
    ]
    return rows.compactMap { name, used, limit in
      limit.map { .named([("name", .string(name)), ("used", .count(used)), ("limit", .count($0))]) }
    }
  }
}

extension MetricFamily {
  /// Whether its values are the relay's reasons to end a session or to refuse a connection.
  fileprivate var isByReason: Bool { shortName == "sessions_ended" || shortName == "clients_refused" }
}
