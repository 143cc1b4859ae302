/// Stale sessions: their sockets are gone. They wait for their clients for a time, and what the backend sends meanwhile
/// is kept, in order, within the client's limit and the relay's.
extension Shard where K: ~Copyable {
  /// Keeps a packet for a stale session's client; over the limit the session ends. Going stale does not end a session
  /// by itself: most of what waited by then is exempt from the limit.
  @inline(never)
  mutating func keepMissed(
    _ slot: UInt32, _ packet: ClientPacket, _ kernel: inout K
  ) {
    guard sessions[slot].missed.limitedCount < settings.missedPacketsBuffer,
      sessions[slot].missed.count < Limits.largestPending
    else { return endSession(slot, .bufferOverflow, &kernel) }
    guard stale.keep(packet, slot, sessions) else { return evictSession(slot, over: .systemMemory, &kernel) }
    missedGrew(&kernel)
  }

  // MARK: Time

  func staleDeadline(_ slot: UInt32) -> UInt64 { sessions[slot].staleSince &+ settings.staleTimeout }

  /// When the oldest stale session has to be looked at.
  @inline(__always)
  func staleExpiry(_ slot: UInt32) -> UInt64 { max(staleDeadline(slot), stale.heldUntil) }

  @inline(never)
  mutating func expireStale(by time: UInt64, _ kernel: inout K) {
    while let slot = stale.oldest, staleDeadline(slot) <= time {
      guard !hasReturned(slot, late: time &- staleDeadline(slot)) else {
        stale.hold(until: time &+ Limits.staleHold)
        return
      }
      endSession(slot, .staleTimeout, &kernel)
    }
  }

  /// Whether a client has sent in time all that a reconnection takes, and the relay has yet to act on it: on the ping,
  /// for which the uplink may have no room; or on the response, with which a worker is busy. The latter does not hold
  /// for long, because the response may be a stranger's.
  private func hasReturned(_ slot: UInt32, late: UInt64) -> Bool {
    var next = sessions[slot].attempts
    while next != .none {
      switch connections[next].phase {
      case .returning: return true
      case .opening where late < Limits.catchUp: return true
      case .ping where late < Limits.catchUp && connections[next].list != .none: return true
      default: next = connections[next].attempt?.value.next ?? .none
      }
    }
    return false
  }

  // MARK: Limits of all sessions together

  /// Evicts sessions while the table of stale ones is too full: first those that the backend never heard of, in
  /// whatever shard, then the oldest of the prefix that holds most.
  @inline(never)
  mutating func evictStale(_ kernel: inout K) {
    while stale.totals.count > settings.maxStaleClients {
      if let other = stale.shardWithUnheard() {
        stale.totals.requests.ask(other)
        return peers.wake(other, &kernel)
      }
      guard let slot = stale.nextToEvict else { return }
      endSession(slot, .staleTableFull, &kernel)
    }
  }

  mutating func missedGrew(_ kernel: inout K) {
    guard let holder = stale.missed.shardToEvict() else { return }
    if holder == number {
      evictLargestMissed(&kernel)
    } else {
      stale.missed.budget.requests.ask(holder)
      peers.wake(holder, &kernel)
    }
  }

  @inline(never)
  mutating func evictLargestMissed(_ kernel: inout K) {
    while stale.missed.budget.isExceeded, let largest = stale.missed.largest(sessions.slots) {
      evictSession(largest, over: .missedPackets, &kernel)
    }
  }
}
