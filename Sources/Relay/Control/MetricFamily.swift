/// A metric as operators see it: the name that a scrape has, its words, and the series that it consists of. This is the
/// only place where a metric's name and words are written down: `/metrics`, `/varz` and the page Metrics.md are made of
/// ``all``.
public struct MetricFamily: Sendable {
  public enum Kind: String, Sendable {
    case counter, gauge, histogram
  }

  /// Where the values come from.
  public enum Source: Sendable {
    /// Series that threads count, by the value of the label; the label is empty where there is none.
    case counted([(label: String, metric: Metric)])
    /// What is read when somebody asks.
    case read(Reading)
    /// What threads sort by size.
    case distribution(Distribution)
  }

  /// Values that are not counted but looked up.
  public enum Reading: String, CaseIterable, Sendable {
    case clients, clientsLimit, sessions, memory, memoryBudget, laneFill, shardClients, shardPackets, shardBytes
    case firehoseConnected, firehoseState, firehoseOldestUnsent
    case threadCPU, roles, startTime, ready, draining, build, settings, logLinesDropped, adminRequests, scrapeSeconds
  }

  public let name: String
  public let kind: Kind
  /// The names of the labels.
  public let labels: [String]
  public let help: String
  public let source: Source

  /// As in `/varz`: without the prefix, and without the ending of a counter.
  public var shortName: String {
    let name = name.dropFirst(MetricFamily.prefix.count)
    return String(name.hasSuffix("_total") ? name.dropLast("_total".count) : name)
  }

  public static let prefix = "voltlane_"
  static let build = "\(prefix)build_info"

  // MARK: All of them

  /// In the order of the page.
  public static let all: [MetricFamily] = traffic + sessions + protection + backend + memory + operation

  private static let traffic: [MetricFamily] = [
    counted(
      "packets", by: "direction", ["up": .packetsUp, "down": .packetsDown],
      "Packets carried: up, from clients to the backend, and down, from the backend to clients."),
    counted(
      "bytes", by: "direction", ["up": .bytesUp, "down": .bytesDown],
      "Bytes of data in these packets, without the protocols' own."),
    counted("multicasts", .multicasts, "Packets of the backend for many clients, each counted once."),
    counted(
      "volatile_packets_dropped", .volatileDropped,
      "Volatile packets that could not be delivered soon, and were dropped."),
    read("shard_packets", .counter, .shardPackets, ["shard", "direction"], "Packets carried, by the client's shard."),
    read("shard_bytes", .counter, .shardBytes, ["shard", "direction"], "Bytes of data, by the client's shard."),
    read(
      "lane_fill_ratio", .gauge, .laneFill, ["shard", "direction"],
      "How full a shard's lane to the firehose (up) or from it (down) is, from 0 to 1."),
    distribution(
      "turn_packets", .turnPackets,
      "Packets that a shard carried in one turn, both ways; one turn of sixteen is looked at."),
    distribution(
      "firehose_send_bytes", .firehoseSendBytes,
      "Bytes that the backend's socket took in one send; one send of sixteen is looked at."),
    distribution(
      "uplink_seconds", .uplinkTime,
      "From the read of a client to the send that hands its packets to the backend's socket, for a sample of reads."),
  ]

  private static let sessions: [MetricFamily] = [
    read("clients", .gauge, .clients, [], "Connections of clients, those in the handshake included."),
    read(
      "clients_limit", .gauge, .clientsLimit, [], "How many there may be: --max-clients. Absent if there is no limit."),
    read(
      "sessions", .gauge, .sessions, ["state"],
      "Sessions with a connection (attached) and without one (stale), and connections in the handshake (handshake)."),
    read("shard_clients", .gauge, .shardClients, ["shard"], "Sessions of a shard, stale ones included."),
    counted("connections_accepted", .clientsAccepted, "Connections that were accepted, those refused later included."),
    counted("sessions_started", .sessionsStarted, "Sessions that began."),
    counted(
      "sessions_ended", by: "reason", CloseReason.allCases.map { ($0.label, $0.metric) },
      "Sessions that ended, by the reason that the backend was told."),
    counted(
      "sessions_gone_stale", .sessionsGoneStale, "Sessions that lost their connection and waited for their client."),
    counted("reconnections_begun", .reconnectionsBegun, "Attempts to come back as an earlier client."),
    counted("reconnections", .reconnections, "Clients that came back to their session."),
    counted("reconnections_refused", .reconnectionsRefused, "Attempts to come back that gave a wrong response."),
    distribution("handshake_seconds", .handshakeTime, "From accepting a new client to the start of its session."),
    counted("away_told", .awayTold, "Sessions of which the backend was told that they had become stale."),
    counted("addresses_told", .addressesTold, "Times that the backend was told where a client connects from."),
  ]

  private static let protection: [MetricFamily] = [
    counted(
      "clients_refused", by: "reason", RefusalReason.allCases.map { ($0.label, $0.metric) },
      "Connections that were not let in or did not stay, by reason."),
    counted("handshakes_malformed", .handshakesMalformed, "Connections that broke the rules of the handshake."),
    counted("bans", .bans, "Addresses that were banned."),
    counted(
      "addresses_shunned", .addressesShunned, "Addresses whose attempts to connect the kernel dropped for a while."),
    counted(
      "clients_uncounted", .clientsUncounted,
      "Connections that count for no address, because the table of addresses had no place."),
    counted(
      "clients_slowed", by: "rate", ["packets": .slowedPacketRate, "bytes": .slowedByteRate],
      "Times that a client exceeded a rate and was not read for a while."),
    counted("accept_pauses", .acceptPauses, "Times that accepting paused, because the system had no room."),
  ]

  private static let backend: [MetricFamily] = [
    read("firehose_connected", .gauge, .firehoseConnected, [], "1 while the backend is connected, else 0."),
    read(
      "firehose_state", .gauge, .firehoseState, ["state"],
      "1 for the state of the backend's connection, 0 for others."),
    read(
      "firehose_oldest_unsent_seconds", .gauge, .firehoseOldestUnsent, [],
      "The age of the oldest byte that the backend has not taken; 0 if it has taken everything."),
    counted("backend_connections", .backendConnections, "Connections that proved to be a backend's."),
    counted("backend_dials_failed", .backendDialsFailed, "Attempts to connect to the backend that failed."),
    counted(
      "backend_closed_early", .backendsClosedEarly,
      "Connections that ended before they proved to be a backend's; they are among the failed dials."),
    counted(
      "backend_packets_malformed", by: "reason",
      [
        "too_short": .packetsTooShort, "unknown_flag": .packetsUnknownFlag, "wrong_direction": .packetsWrongDirection,
        "multicast": .packetsMalformedMulticast,
      ], "Packets of the backend that were skipped because they break the protocol."),
    counted("packets_unknown_client", .packetsUnknownClient, "Packets of the backend for an id that is not a session."),
    counted(
      "answers_dropped", .answersDropped, "Answers to such packets that were not given, because the way up was full."),
    counted(
      "packets_given_up", .packetsRefused,
      "Packets that were given up, and their clients ended, because two connections to the backend died within them."),
  ]

  private static let memory: [MetricFamily] = [
    read(
      "memory_bytes", .gauge, .memory, ["kind"],
      """
      Memory held for clients: all of it that counts against the budget (used), what waits for clients (pending), for \
      connections that are closing (closing), for stale sessions (missed), and unfinished packets (unfinished).
      """),
    read(
      "memory_budget_bytes", .gauge, .memoryBudget, ["kind"],
      "What they may hold: --memory-budget (used), --missed-packets-total (missed), --assembly-budget (unfinished)."),
    counted(
      "memory_evictions", by: "budget",
      [
        "unfinished": .endedOverAssemblyBudget, "missed": .endedOverMissedPackets, "memory": .endedOverMemoryBudget,
        "system": .endedOverSystemMemory,
      ], "Sessions that ended to stay within a budget, or because the system had no memory."),
  ]

  private static let operation: [MetricFamily] = [
    read("ready", .gauge, .ready, [], "1 if the relay takes clients and has a backend for them, else 0: as /readyz."),
    read("draining", .gauge, .draining, [], "1 while the relay lets clients go or shuts down, else 0."),
    read("start_time_seconds", .gauge, .startTime, [], "When the relay started, in seconds since 1970."),
    read("build_info", .gauge, .build, ["version", "kernel", "io"], "Always 1; the labels say what runs."),
    read(
      "settings_info", .gauge, .settings, ["setting", "value", "origin"],
      "Always 1; the labels say what each setting is, and where that was given."),
    counted("roles_moved", .rolesMoved, "Times that a shard, or the firehose, went on at another thread."),
    read("thread_cpu_seconds", .counter, .threadCPU, ["thread"], "Time that threads of this name spent on a CPU."),
    read(
      "thread_roles", .gauge, .roles, ["thread", "role"], "Always 1; the labels say which thread hosts which role."),
    counted("events_dropped", .eventsDropped, "Events that found no room on their way to the log."),
    read("log_lines_dropped", .counter, .logLinesDropped, [], "Lines of the log that nobody read in time."),
    read(
      "admin_requests", .counter, .adminRequests, ["outcome"],
      "Requests to the admin endpoint, and connections refused there."),
    read("scrape_seconds", .gauge, .scrapeSeconds, [], "How long it took to collect this page's values."),
  ]

  // MARK: How they are written down

  private static func counted(_ name: String, _ metric: Metric, _ help: String) -> MetricFamily {
    MetricFamily(
      name: "\(prefix)\(name)_total", kind: .counter, labels: [], help: help, source: .counted([("", metric)]))
  }

  private static func counted(
    _ name: String, by label: String, _ series: KeyValuePairs<String, Metric>, _ help: String
  ) -> MetricFamily {
    counted(name, by: label, series.map { ($0.key, $0.value) }, help)
  }

  private static func counted(
    _ name: String, by label: String, _ series: [(String, Metric)], _ help: String
  ) -> MetricFamily {
    MetricFamily(
      name: "\(prefix)\(name)_total", kind: .counter, labels: [label], help: help,
      source: .counted(series.map { (label: $0.0, metric: $0.1) }))
  }

  private static func read(
    _ name: String, _ kind: Kind, _ reading: Reading, _ labels: [String], _ help: String
  ) -> MetricFamily {
    MetricFamily(
      name: prefix + name + (kind == .counter ? "_total" : ""), kind: kind, labels: labels, help: help,
      source: .read(reading))
  }

  private static func distribution(_ name: String, _ distribution: Distribution, _ help: String) -> MetricFamily {
    MetricFamily(name: prefix + name, kind: .histogram, labels: [], help: help, source: .distribution(distribution))
  }

  /// Sums of others, which a scrape leaves out: whoever wants one adds up its parts.
  public static let sums: Set<Metric> = [.clientsRefused, .sessionsEnded, .packetsMalformed]

  /// Metrics that are not counts, and are shown as a reading.
  public static let readings: Set<Metric> = [.backendBehindMilliseconds]
}

extension CloseReason {
  /// As a label's value.
  public var label: String { snakeCase("\(self)") }
}

extension RefusalReason {
  /// As a label's value.
  public var label: String { snakeCase("\(self)") }
}

/// `staleTimeout` as `stale_timeout`.
private func snakeCase(_ name: String) -> String {
  name.reduce(into: "") { text, letter in text += letter.isUppercase ? "_\(letter.lowercased())" : "\(letter)" }
}
