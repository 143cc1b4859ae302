/// Sessions whose sockets ended. They wait for their clients for a time; what the backend sends them is kept, in order,
/// within the client's limit and the relay's.
extension Shard {
  /// The client's socket is gone or going: its session stays, with what the socket did not take whole, or is over where
  /// sessions don't wait.
  @inline(never)
  mutating func detach<K: Kernel & ~Copyable>(_ index: UInt32, _ kernel: inout K) {
    let connection = connections[index]
    let slot = connection.pointee.session
    guard slot != .none else { return }
    connection.pointee.session = .none
    let session = sessions[slot]
    session.pointee.connection = .none
    guard settings.staleTimeout > 0 else { return endSession(slot, .staleTimeout, &kernel) }
    session.pointee.slowFor = slowness(index, &kernel)
    takePending(of: index, slot)
    session.pointee.state = .stale
    session.pointee.staleSince = kernel.now
    stale.add(slot, sessions)
    staleTotals.add(1, unheard: session.pointee.isHeardOf ? 0 : 1, shard: self.index)
    counters.add(.sessionsGoneStale)
    if events.wants(.debug) { events.post(.sessionStale(id: session.pointee.id), &kernel) }
    missedBudget.charge(session.pointee.missed.memory)
    missedGrew(slot, &kernel)
    if staleTotals.count > settings.maxStaleClients { evictStale(&kernel) }
  }

  /// Keeps a packet for a stale session's client; over its limit the session ends. Changing state ends nobody: of what
  /// was there before, much counts towards no limit.
  @inline(never)
  mutating func keepMissed<K: Kernel & ~Copyable>(
    _ slot: UInt32, _ packet: ClientPacket, _ kernel: inout K
  ) {
    let session = sessions[slot]
    guard session.pointee.missed.limitedCount < settings.missedPacketsBuffer,
      session.pointee.missed.count < Limits.largestPending
    else { return endSession(slot, .bufferOverflow, &kernel) }
    let memory = session.pointee.missed.memory
    guard session.pointee.missed.append(packet.bytes, packet.count) else {
      return end(slot, over: .system, &kernel)
    }
    missedBudget.charge(session.pointee.missed.memory - memory)
    missedGrew(slot, &kernel)
  }

  /// What a connection's socket did not deliver is its session's, at the start of what the client missed.
  mutating func takePending(of index: UInt32, _ slot: UInt32) {
    connections[index].pointee.pending.takeBack(exempt: settings.carriedOver)
    sessions[slot].pointee.missed = connections[index].pointee.pending
    connections[index].pointee.pending = PendingBytes()
  }

  /// The session leaves the stale ones; its missed packets are the caller's to take or clear.
  mutating func takeOutOfStale(_ slot: UInt32) {
    let session = sessions[slot]
    stale.remove(slot, sessions)
    staleTotals.add(-1, unheard: session.pointee.isHeardOf ? 0 : -1, shard: index)
    missedBudget.giveBack(session.pointee.missed.memory)
    missed.remove(slot, sessions.slots)
    missedBudget.publishLargest(missed.largestClass, of: index)
  }

  // MARK: Time

  func staleDeadline(_ slot: UInt32) -> UInt64 { sessions[slot].pointee.staleSince &+ settings.staleTimeout }

  /// When the oldest stale session has to be looked at.
  @inline(__always)
  func staleExpiry(_ slot: UInt32) -> UInt64 { max(staleDeadline(slot), staleHeldUntil) }

  @inline(never)
  mutating func expireStale<K: Kernel & ~Copyable>(by time: UInt64, _ kernel: inout K) {
    while let slot = stale.oldest, staleDeadline(slot) <= time {
      guard !hasReturned(slot, late: time &- staleDeadline(slot)) else {
        staleHeldUntil = time &+ Limits.staleHold
        return
      }
      endSession(slot, .staleTimeout, &kernel)
    }
  }

  /// Whether a client has said in time all that it takes to come back, and it is the relay that has yet to act on it:
  /// on the ping, for which the uplink may have no room; or on the response, with which a worker is busy, though not
  /// for long, because that may be a stranger's.
  private func hasReturned(_ slot: UInt32, late: UInt64) -> Bool {
    var next = sessions[slot].pointee.attempts
    while next != .none {
      let connection = connections[next]
      switch connection.pointee.phase {
      case .returning: return true
      case .opening where late < Limits.catchUp: return true
      case .ping where late < Limits.catchUp && connection.pointee.list != .none: return true
      default: next = connection.pointee.attempt?.value.next ?? .none
      }
    }
    return false
  }

  // MARK: Limits of all together

  /// Ends sessions while the table of stale ones is too full: those that the backend never heard of first, wherever
  /// they are, then the oldest of the prefix that holds most.
  @inline(never)
  mutating func evictStale<K: Kernel & ~Copyable>(_ kernel: inout K) {
    while staleTotals.count > settings.maxStaleClients {
      if stale.unheardCount == 0, let other = staleTotals.shardWithUnheard() {
        staleTotals.requests.ask(other)
        return wake(other, &kernel)
      }
      guard let slot = stale.nextToEvict else { return }
      endSession(slot, .staleTableFull, &kernel)
    }
  }

  private mutating func missedGrew<K: Kernel & ~Copyable>(_ slot: UInt32, _ kernel: inout K) {
    missed.update(slot, sessions.slots)
    missedBudget.publishLargest(missed.largestClass, of: index)
    guard missedBudget.isExceeded else { return }
    let holder = missedBudget.shardWithLargest()
    if holder == index || missedBudget.largest(of: holder) <= missed.largestClass {
      endLargestMissed(&kernel)
    } else {
      missedBudget.requests.ask(holder)
      wake(holder, &kernel)
    }
  }

  @inline(never)
  mutating func endLargestMissed<K: Kernel & ~Copyable>(_ kernel: inout K) {
    while missedBudget.isExceeded, let largest = missed.largest(sessions.slots) {
      end(largest, over: .missedPackets, &kernel)
    }
  }
}
