/// Sessions whose sockets ended. They wait for their clients for a time; what the backend sends them is kept, in order,
/// within the client's limit and the relay's.
extension Shard where K: ~Copyable {
  /// The client's socket is gone or going: its session stays, with what the socket did not take whole, or is over where
  /// sessions don't wait.
  @inline(never)
  mutating func detach(_ index: UInt32, _ kernel: inout K) {
    let slot = connections[index].session
    guard slot != .none else { return }
    connections[index].session = .none
    sessions[slot].connection = .none
    guard settings.staleTimeout > 0 else { return endSession(slot, .staleTimeout, &kernel) }
    sessions[slot].slowFor = slowness(index, &kernel)
    takePending(of: index, slot)
    sessions[slot].state = .stale
    sessions[slot].staleSince = kernel.now
    stale.add(slot, sessions)
    counters.add(.sessionsGoneStale)
    if events.wants(.debug) { events.post(.sessionStale(id: sessions[slot].id), &kernel) }
    missedGrew(&kernel)
    if stale.totals.count > settings.maxStaleClients { evictStale(&kernel) }
  }

  /// Keeps a packet for a stale session's client; over its limit the session ends. Changing state ends nobody: of what
  /// was there before, much counts towards no limit.
  @inline(never)
  mutating func keepMissed(
    _ slot: UInt32, _ packet: ClientPacket, _ kernel: inout K
  ) {
    guard sessions[slot].missed.limitedCount < settings.missedPacketsBuffer,
      sessions[slot].missed.count < Limits.largestPending
    else { return endSession(slot, .bufferOverflow, &kernel) }
    guard stale.keep(packet, slot, sessions) else { return end(slot, over: .system, &kernel) }
    missedGrew(&kernel)
  }

  /// What a connection's socket did not deliver is its session's, at the start of what the client missed.
  mutating func takePending(of index: UInt32, _ slot: UInt32) {
    connections[index].pending.takeBack(exempt: settings.carriedOver)
    sessions[slot].missed = connections[index].pending
    connections[index].pending = PendingBytes()
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
        stale.heldUntil = time &+ Limits.staleHold
        return
      }
      endSession(slot, .staleTimeout, &kernel)
    }
  }

  /// Whether a client has said in time all that it takes to come back, and it is the relay that has yet to act on it:
  /// on the ping, for which the uplink may have no room; or on the response, with which a worker is busy, though not
  /// for long, because that may be a stranger's.
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

  // MARK: Limits of all together

  /// Ends sessions while the table of stale ones is too full: those that the backend never heard of first, wherever
  /// they are, then the oldest of the prefix that holds most.
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

  private mutating func missedGrew(_ kernel: inout K) {
    guard let holder = stale.missed.shardToEvict() else { return }
    if holder == index {
      endLargestMissed(&kernel)
    } else {
      stale.missed.budget.requests.ask(holder)
      peers.wake(holder, &kernel)
    }
  }

  @inline(never)
  mutating func endLargestMissed(_ kernel: inout K) {
    while stale.missed.budget.isExceeded, let largest = stale.missed.largest(sessions.slots) {
      end(largest, over: .missedPackets, &kernel)
    }
  }
}
