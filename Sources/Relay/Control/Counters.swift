/// What a host counts. A new metric is one line here.
public enum Metric: Int, CaseIterable, Sendable {
  case clientsAccepted, clientsRefused, handshakesMalformed, handshakesShed
  case sessionsStarted, sessionsEnded, sessionsGoneStale
  case reconnectionsBegun, reconnections, reconnectionsRefused
  case packetsUp, bytesUp, packetsDown, bytesDown
  case packetsUnknownClient, answersDropped, packetsMalformed, packetsRefused
  case backendConnections, backendDialsFailed
  case acceptPauses, eventsDropped
}

/// One host's counters: written by its thread alone, read by any.
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

  subscript(metric: Metric) -> UInt64 { words[metric.rawValue].relaxed }
}
