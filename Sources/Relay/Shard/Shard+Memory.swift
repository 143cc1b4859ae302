/// The memory budget: what waits for slow readers is counted here, and sessions end when the budget is nearly used up.
extension Shard {
  /// What waits for a connection has changed, or who it waits for. What is queued for one that ends is still sent, for
  /// as long as a close may take, and counts by itself.
  mutating func chargeWaiting(_ index: UInt32) {
    let connection = connections[index]
    let count = UInt32(truncatingIfNeeded: connection.pointee.pending.count)
    let phase = connection.pointee.phase
    let waiting = phase == .attached || phase == .halfClosed ? count : 0
    let leaving = phase == .closing ? count : 0
    memory.charge(
      waiting: Int(waiting) - Int(connection.pointee.charged),
      leaving: Int(leaving) - Int(connection.pointee.chargedLeaving))
    connection.pointee.charged = waiting
    connection.pointee.chargedLeaving = leaving
  }

  /// The socket of an attached client is full.
  mutating func becomeSlow<K: Kernel & ~Copyable>(_ index: UInt32, _ kernel: borrowing K) {
    let connection = connections[index]
    guard connection.pointee.phase == .attached, connection.pointee.queue == .none else { return }
    connection.pointee.slowSince = kernel.now
    slowReaders.append(index, connections)
    publishSlowest()
  }

  /// Its socket took something, or it ends.
  mutating func endSlowness(_ index: UInt32) {
    slowReaders.remove(index, connections)
    connections[index].pointee.flags.remove(.unreachable)
    publishSlowest()
  }

  private func publishSlowest() {
    memory.publishSlowest(since: slowReaders.first.map { connections[$0].pointee.slowSince }, of: index)
  }

  /// When the slowest reader has to have taken something.
  @inline(__always)
  func slowDeadline() -> UInt64 {
    slowReaders.first.map { connections[$0].pointee.slowSince.adding(settings.slowClientTimeout) } ?? .max
  }

  /// Ends those who have taken nothing for too long, though their TCP answers. One that does not answer is not slow but
  /// out of reach: its session waits for it when TCP has given it up.
  @inline(never)
  mutating func endSlow<K: Kernel & ~Copyable>(_ kernel: inout K) {
    while slowDeadline() <= kernel.now, let slowest = slowReaders.first {
      if answers(slowest, &kernel) {
        fail(slowest, .slowClient, &kernel)
      } else {
        // It is looked at again when it would be the first anew.
        endSlowness(slowest)
        becomeSlow(slowest, kernel)
        connections[slowest].pointee.flags.insert(.unreachable)
      }
    }
    publishSlowest()
  }

  /// Whether a client's TCP has answered lately: in the second half of the time that it had to take something, because
  /// in the first it may have acknowledged what was on its way; later, since it was asked about last. The kernel asks
  /// a closed window less and less often.
  private func answers<K: Kernel & ~Copyable>(_ index: UInt32, _ kernel: inout K) -> Bool {
    let wasDeferred = connections[index].pointee.flags.contains(.unreachable)
    let time = settings.slowClientTimeout
    return kernel.silence(connections[index].pointee.socket) < (wasDeferred ? time : time / 2)
  }

  /// Ends sessions while memory is short: stale ones first, those that hold most before others, then the slowest
  /// readers; each in the shard that has it.
  @inline(never)
  mutating func relieveMemory<K: Kernel & ~Copyable>(_ kernel: inout K) {
    while memory.isShort {
      if staleTotals.count > 0 {
        let holder = missedBudget.shardWithLargest()
        if holder != index, missedBudget.largest(of: holder) > missed.largestClass { return wake(holder, &kernel) }
        guard let slot = missed.largest(sessions.slots) ?? stale.nextToEvict else { return wakeAll(&kernel) }
        end(slot, over: .memory, &kernel)
      } else if let holder = memory.shardWithSlowest() {
        guard holder == index, let slowest = slowReaders.first else { return wake(holder, &kernel) }
        end(connections[slowest].pointee.session, over: .memory, &kernel)
      } else {
        return
      }
    }
  }

  /// Ends a session because all together hold more than they may.
  mutating func end<K: Kernel & ~Copyable>(_ slot: UInt32, over budget: Event.Budget, _ kernel: inout K) {
    if let count = admission.shared.log[budget].admit(now: kernel.now) {
      events.post(.budgetExceeded(budget, count: count), &kernel)
    }
    end(slot, .memory, &kernel)
  }

  private mutating func wakeAll<K: Kernel & ~Copyable>(_ kernel: inout K) {
    for peer in 0..<peers.count { wake(peer, &kernel) }
  }
}
