/// The memory budget: sessions are evicted when it is nearly used up, but not before the volatile packets that wait for
/// clients are dropped.
extension Shard where K: ~Copyable {
  /// Evicts sessions while memory is short: first those that hold most, attached, stale or closing, in whatever shard;
  /// then stale ones that hold nothing but themselves. The number in a turn is limited, so that evictions which free no
  /// memory do not keep the shard here.
  @inline(never)
  mutating func evictForMemory(_ kernel: inout K) {
    guard !volatileMakesRoom(&kernel) else { return }
    for _ in 0..<Limits.endsPerTurn where memory.gauge.isShort {
      let own = max(memory.largestClass, unfinished.largestClass, stale.missed.largestClass)
      let holder = memory.gauge.shardWithLargest()
      if holder != number, memory.gauge.largest(of: holder) > own { return peers.wake(holder, &kernel) }
      if own > 0 {
        evictLargest(&kernel)
      } else if stale.totals.count > 0 {
        guard let slot = stale.nextToEvict else { return peers.wakeAll(&kernel) }
        evictSession(slot, over: .memory, &kernel)
      } else {
        return
      }
    }
  }

  /// Drops what is volatile in this shard. True if that, or what other shards have to drop, may be enough. While memory
  /// is short none is kept, so this happens once each time.
  private mutating func volatileMakesRoom(_ kernel: inout K) -> Bool {
    if memory.holdsVolatile { dropVolatile(kernel) }
    guard memory.gauge.isShort, memory.gauge.volatileHolders > 0, !memory.gauge.isUsedUp else {
      return !memory.gauge.isShort
    }
    peers.wakeAll(&kernel)
    return true
  }

  private mutating func dropVolatile(_ kernel: borrowing K) {
    for index in 0..<connections.used
    where connections[index].phase.hasSocket && connections[index].pending.hasVolatile {
      counters.add(.volatileDropped, connections[index].pending.dropVolatile())
      memory.charge(index, connections)
      if connections[index].phase == .attached { endSlownessIfIdle(index) }
      updateBacklog(index, kernel)
    }
    memory.noVolatile()
  }

  /// Evicts the shard's largest holder of unfinished, waiting and missed packets.
  private mutating func evictLargest(_ kernel: inout K) {
    let missing = stale.missed.largest(sessions.slots)
    let (waiter, beginner) = (memory.largest(connections), unfinished.largest(connections.slots))
    let largest = held(by: waiter) >= held(by: beginner) ? waiter : beginner
    let mostMissed = missing.map { sessions[$0].missed.memory } ?? 0
    if let largest, held(by: largest) >= mostMissed {
      evictAtOnce(largest, &kernel)
    } else if let missing {
      evictSession(missing, over: .memory, &kernel)
    }
  }

  /// All that is held for a connection.
  private func held(by index: UInt32?) -> Int {
    guard let index else { return 0 }
    return WaitingBytes.held(by: connections[index]) + UnfinishedPackets.held(by: connections[index])
  }

  /// Evicts a connection while memory is short, and what is held for it is free at once: what is queued for it would
  /// stay for as long as a close may take.
  private mutating func evictAtOnce(_ index: UInt32, _ kernel: inout K) {
    switch connections[index].phase {
    case .closing: reset(index, &kernel)
    case .sealing:
      noteRefusal(.memory, connections[index].address, &kernel)
      refuseUnchallenged(index, atOnce: true, &kernel)
    default:
      evict(index, over: .memory, &kernel)
      if connections[index].phase == .closing, memory.gauge.isShort { reset(index, &kernel) }
    }
  }

  /// Evicts a connection for the memory that it holds or would need, with its session where it has one.
  @inline(never)
  mutating func evict(_ index: UInt32, over budget: Event.Budget, _ kernel: inout K) {
    let phase = connections[index].phase
    guard phase.hasSocket, phase != .closing else { return }
    let slot = connections[index].session
    guard slot == .none else { return evictSession(slot, over: budget, &kernel) }
    refuse(index, budget == .unfinishedPackets ? .unfinishedPackets : .memory, &kernel)
  }

  /// Evicts a client that has been sent part of a packet whose rest is lost. It is reset: a FIN would look like an
  /// orderly end, and nothing may follow the part.
  mutating func evictWithinPacket(_ index: UInt32, over budget: Event.Budget, _ kernel: inout K) {
    let slot = connections[index].session
    if slot != .none {
      events.tally(budget.metric, .warning, of: named(slot), &kernel)
      removeSession(slot, .memory, &kernel)
    }
    reset(index, &kernel)
  }

  /// Evicts a session because all together hold more than they may, or the system has no more memory.
  mutating func evictSession(_ slot: UInt32, over budget: Event.Budget, _ kernel: inout K) {
    events.tally(budget.metric, .warning, of: named(slot), &kernel)
    endSession(slot, .memory, &kernel)
  }

  /// A session, as a line of the log names it.
  func named(_ slot: UInt32) -> Event.Session {
    Event.Session(id: sessions[slot].id, address: sessions[slot].address)
  }
}
