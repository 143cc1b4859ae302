/// The orderly end of the relay: accepting stops, what clients and backend had sent is read, every session ends with
/// `relay draining`, and what is queued either way is handed over.
extension Shard where K: ~Copyable {
  @inline(never)
  mutating func beginDrain(_ kernel: inout K) {
    guard case .no = drain else { return }
    acceptor.close(&kernel)
    drain = .reading(
      until: now(kernel) &+ Limits.drainReading, latest: kernel.now &+ Limits.drainReadingLongest)
    for index in 0..<connections.used {
      switch connections[index].phase {
      case .proxy, .version: abort(index, &kernel)
      case .key, .verifying, .sealing, .response, .opening, .ping, .returning: close(index, &kernel)
      case .attached:
        // Read to the end: the flag keeps it on the list until a receive finds nothing.
        connections[index].flags.insert(.hungUp)
        markReady(index)
      case .halfClosed, .closing, .free, .released: break
      }
    }
  }

  /// Ends one session as the drain does: what its client had sent is read first. One that cannot be read any more, or
  /// has no connection, ends at once.
  @inline(never)
  mutating func letGo(_ slot: UInt32, _ kernel: inout K) {
    let index = sessions[slot].connection
    // One that has sent its FIN waits for answers, and ends by itself when its time is up.
    guard sessions[slot].state != .halfClosed else { return }
    guard sessions[slot].state == .attached, index != .none else { return endSession(slot, .relayDraining, &kernel) }
    connections[index].flags.insert(.hungUp)
    connections[index].isLetGo = true
    connections[index].letGoBehind = UInt32(truncatingIfNeeded: downlink.end)
    // Otherwise there is nothing to be taken back: somebody merely wants it ended.
    if !control.accepts { letsGo = true }
    markReady(index)
  }

  /// Ends a client that is let go and has nothing more to be read, once what the firehose had for it when that was
  /// decided has been delivered.
  @inline(never)
  mutating func endIfLetGo(_ index: UInt32, _ kernel: inout K) {
    let delivered = UInt32(truncatingIfNeeded: downlink.cursor)
    guard Int32(bitPattern: delivered &- connections[index].letGoBehind) >= 0 else {
      connections[index].flags.insert(.hungUp)
      return markReady(index)
    }
    endClient(index, .relayDraining, &kernel)
  }

  /// The relay accepts again: who has not gone yet stays.
  @inline(never)
  mutating func keepWhoIsLetGo() {
    letsGo = false
    for index in 0..<connections.used { connections[index].isLetGo = false }
  }

  /// Whether the drain can go a step further now.
  mutating func drainCanAdvance() -> Bool {
    switch drain {
    case .no, .delivered: false
    case .reading: hasReadEverything()
    case .ending: sessions.firstOwed == nil
    }
  }

  /// Whether all has been taken that clients and backend had sent.
  private mutating func hasReadEverything() -> Bool {
    // In this order: what the backend had sent is in the lane when the control block says so.
    lists.clients.isEmpty && lists.others.isEmpty && control.backendIsRead && downlink.available() == 0
  }

  /// Whether nothing is left: all is in the lane, and all sockets are closed.
  mutating func isDrained() -> Bool {
    if case .delivered = drain { connections.count == 0 } else { false }
  }

  @inline(never)
  mutating func advanceDrain(_ kernel: inout K) {
    if case .reading(let until, let latest) = drain,
      hasReadEverything() || now(kernel) >= until || kernel.now >= latest
    {
      endAllSessions(.relayDraining, &kernel)
      drain = .ending
    }
    if case .ending = drain, sessions.firstOwed == nil {
      _ = uplink.publish()
      drain = .delivered
      control.addDrainedShard()
      // Also where nothing was published: the firehose waits for the count.
      firehoseBell.wake(&kernel)
    }
  }
}
