/// What a role counts. A new metric is one line here.
public enum Metric: Int, CaseIterable, Sendable {
  case clientsAccepted, clientsRefused, handshakesMalformed
  // By ``RefusalReason``; together they are the refused clients.
  case refusedClients, refusedAcceptRate, refusedDescriptors, refusedMemory, refusedHandshakes, refusedBackendLost
  case refusedAddressClients, refusedPrefixClients, refusedAddressAcceptRate, refusedAddressHandshakes
  case refusedBanned, refusedDenied, refusedReconnectFailures, refusedProxyHeader, refusedHandshakeTimeout
  case refusedUnfinishedPackets
  case refusedProxyNoHeader, refusedProxyLine, refusedProxyVersion, refusedProxyCommand, refusedProxyFamily
  case refusedProxyAddresses, refusedProxyValues, refusedProxyChecksum
  /// Connections that were admitted without counting for their address or its prefix: the table had no place for it.
  case clientsUncounted
  /// Addresses that were banned.
  case bans
  /// Addresses whose attempts to connect the kernel dropped for a while. It does not say how many attempts.
  case addressesShunned
  case sessionsStarted, sessionsEnded, sessionsGoneStale
  // By ``CloseReason``; together they are the ended sessions.
  case endedStaleTimeout, endedStaleTableFull, endedBufferOverflow, endedKicked, endedPacketTooLarge
  case endedPacketTimeout, endedRateLimit, endedIdleTimeout, endedSlowClient, endedMemory, endedBackendLost
  case endedBackendRefusedPacket, endedRelayDraining
  // By ``Event/Budget``; together they are the sessions that ended with `memory`.
  case endedOverAssemblyBudget, endedOverMissedPackets, endedOverMemoryBudget, endedOverSystemMemory
  /// How often a client was found to exceed a rate, and was not read for a while.
  case slowedPacketRate, slowedByteRate
  case reconnectionsBegun, reconnections, reconnectionsRefused
  case packetsUp, bytesUp, packetsDown, bytesDown
  case packetsUnknownClient, answersDropped, packetsMalformed, packetsRefused
  // By ``Event/MalformedPacket``; together they are the malformed packets.
  case packetsTooShort, packetsUnknownFlag, packetsWrongDirection, packetsMalformedMulticast
  /// Packets for many clients, each of them once; what each of the clients gets is among the packets down.
  case multicasts
  /// Sessions of which the backend was told that they had become stale.
  case awayTold
  /// How often the backend was told where a client connects from, sweeps left out.
  case addressesTold
  /// Volatile packets that could not be delivered soon.
  case volatileDropped
  case backendConnections, backendDialsFailed
  /// Connections that ended before they had proved that there is a backend behind them; they count as failed dials too.
  case backendsClosedEarly
  /// How old the oldest byte is that the backend has not taken. This is not a count: it is 0 when everything is taken.
  case backendBehindMilliseconds
  case acceptPauses, eventsDropped
  /// How often a shard, or the firehose, went on at another thread.
  case rolesMoved
}

/// One role's counters: written by the thread that it is at, read by any.
struct Counters: Sendable {
  private let words: CounterWords

  init(_ arena: Arena) {
    words = CounterWords(arena, count: Metric.allCases.count)
  }

  /// A load and a store, no read-modify-write: there is one writer.
  @inline(__always)
  func add(_ metric: Metric, _ count: Int = 1) {
    let word = words[metric.rawValue]
    word.relaxed = word.relaxed &+ UInt64(truncatingIfNeeded: count)
  }

  /// For a value that is not a count.
  func set(_ metric: Metric, _ value: UInt64) { words[metric.rawValue].relaxed = value }

  subscript(metric: Metric) -> UInt64 { words[metric.rawValue].relaxed }
}
