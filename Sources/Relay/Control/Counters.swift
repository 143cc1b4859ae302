import Synchronization

/// What a host counts. A new metric is one line here.
public enum Metric: Int, CaseIterable, Sendable {
  case clientsAccepted, clientsRefused, handshakesMalformed
  case sessionsStarted, sessionsEnded
  case packetsUp, bytesUp, packetsDown, bytesDown
  case packetsUnknownClient, answersDropped, packetsMalformed
  case backendConnections, backendDialsFailed
  case acceptPauses, eventsDropped
}

/// One host's counters: written by its thread alone, read by any. Padded to 128 bytes at both ends.
struct Counters: @unchecked Sendable {
  private let base: UnsafeMutablePointer<Atomic<UInt64>>

  init(_ arena: Arena) {
    base = arena.allocate(byteCount: Metric.allCases.count * 8 + 128).assumingMemoryBound(to: Atomic<UInt64>.self)
  }

  /// A load and a store, no read-modify-write: there is one writer.
  @inline(__always)
  func add(_ metric: Metric, _ count: Int = 1) {
    let counter = base + metric.rawValue
    counter.pointee.store(
      counter.pointee.load(ordering: .relaxed) &+ UInt64(truncatingIfNeeded: count), ordering: .relaxed)
  }

  subscript(metric: Metric) -> UInt64 { (base + metric.rawValue).pointee.load(ordering: .relaxed) }
}
