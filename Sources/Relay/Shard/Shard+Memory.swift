/// The memory budget: what is held for clients is counted here, and sessions end when the budget is nearly used up.
extension Shard where K: ~Copyable {
  /// Ends sessions while memory is short: first those that hold most, attached, stale or closing, wherever they are;
  /// then stale ones that hold nothing but themselves. So many in a turn: nothing that frees no memory keeps the shard
  /// here.
  @inline(never)
  mutating func relieveMemory(_ kernel: inout K) {
    for _ in 0..<Limits.endsPerTurn where memory.gauge.isShort {
      let own = max(memory.largestClass, unfinished.largestClass, stale.missed.largestClass)
      let holder = memory.gauge.shardWithLargest()
      if holder != index, memory.gauge.largest(of: holder) > own { return peers.wake(holder, &kernel) }
      if own > 0 {
        endLargest(&kernel)
      } else if stale.totals.count > 0 {
        guard let slot = stale.nextToEvict else { return peers.wakeAll(&kernel) }
        end(slot, over: .memory, &kernel)
      } else {
        return
      }
    }
  }

  /// Ends who holds most of this shard's, unfinished, waiting and missed packets alike.
  private mutating func endLargest(_ kernel: inout K) {
    let missing = stale.missed.largest(sessions.slots)
    let (waiter, beginner) = (memory.largest(connections), unfinished.largest(connections.slots))
    let largest = held(by: waiter) >= held(by: beginner) ? waiter : beginner
    let mostMissed = missing.map { sessions[$0].missed.memory } ?? 0
    if let largest, held(by: largest) >= mostMissed {
      dropHolder(largest, &kernel)
    } else if let missing {
      end(missing, over: .memory, &kernel)
    }
  }

  /// All that is held for a connection.
  private func held(by index: UInt32?) -> Int {
    guard let index else { return 0 }
    return WaitingBytes.held(by: connections[index]) + UnfinishedPackets.held(by: connections[index])
  }

  /// Ends a connection while memory is short, and what is held for it is free at once: what is queued for it would stay
  /// for as long as a close may take.
  private mutating func dropHolder(_ index: UInt32, _ kernel: inout K) {
    switch connections[index].phase {
    case .closing: break
    case .sealing:
      tell(.memory, connections[index].address, &kernel)
      // The challenge is not waited for. What is begun of one says that this is no end of the session.
      if connections[index].pending.isEmpty { beginChallenge(connections[index].socket, &kernel) }
    default:
      endHolder(index, over: .memory, .memory, &kernel)
      guard connections[index].phase == .closing, memory.gauge.isShort else { return }
    }
    kernel.reset(connections[index].socket)
    drop(index, &kernel)
  }

  /// Ends a connection for the memory that it holds, with its session where it has one.
  mutating func endHolder(
    _ index: UInt32, over budget: Event.Budget, _ refusal: RefusalReason, _ kernel: inout K
  ) {
    guard connections[index].session == .none else { return end(connections[index].session, over: budget, &kernel) }
    switch connections[index].phase {
    case .proxy, .version: reject(index, refusal, &kernel)
    case .key, .sealing: resetHandshake(index, refusal, &kernel)
    default:
      tell(refusal, connections[index].address, &kernel)
      closeGracefully(index, &kernel)
    }
  }

  /// The system has no memory for what has to be kept for a client.
  mutating func endForMemory(_ index: UInt32, _ kernel: inout K) {
    let slot = connections[index].session
    if slot != .none { end(slot, over: .system, &kernel) }
  }

  /// Ends a session because all together hold more than they may.
  mutating func end(_ slot: UInt32, over budget: Event.Budget, _ kernel: inout K) {
    events.tally(budget.metric, .warning, &kernel)
    end(slot, .memory, &kernel)
  }
}
