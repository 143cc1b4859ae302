/// How the relay shuts down towards the backend: it reads what the backend had sent before it ends the sessions, sends
/// everything that the shards have for the backend, and then sends a FIN.
extension Firehose where K: ~Copyable {
  enum Drain {
    case no
    /// What the backend had sent is being read, at most until the time given.
    case reading(until: UInt64)
    /// It is in the lanes, and sessions may end after it.
    case read
  }

  @inline(never)
  mutating func beginDrain(_ kernel: inout K) {
    drain = .reading(until: kernel.now &+ Limits.drainReading)
    // There is little time, and what is queued gets no second chance.
    if state == .proving { deadline = min(deadline, kernel.now &+ Limits.probationFirst) }
    guard state == .connected else { return }
    // As after a hang-up, reads go on until one finds nothing.
    readable = true
    hungUp = true
  }

  /// Lets the shards end their sessions once everything that has arrived from the backend has been passed on.
  @inline(never)
  mutating func advanceDrain(_ kernel: inout K) {
    guard case .reading(let until) = drain else { return }
    let isBehind = state == .connected && (readable || stalledLane != nil) || refusedClient != nil
    guard !isBehind || kernel.now >= until else { return }
    drain = .read
    control.backendIsRead = true
    wakeShards(&kernel)
  }

  /// Whether the relay is ending and every shard's packets have been handed over. Mutating only because the compiler
  /// copies a struct of this size for a call that borrows it.
  @inline(__always)
  mutating func isDrainedUp() -> Bool { control.phase == .draining && haveShardsDrained() }

  @inline(never)
  private mutating func haveShardsDrained() -> Bool {
    guard control.shardsDrained == lanes.count else { return false }
    // Every session has ended: there is nothing to announce. What has begun is sent to its end, because it may have
    // stopped within a packet.
    if sweep == .asking { endSweep() }
    return sweep == .none && isUplinkEmpty()
  }

  /// Sends the FIN. What the backend still sends is read and discarded until its own FIN arrives: a close with unread
  /// input would reset the connection and lose what was queued.
  @inline(never)
  mutating func finish(_ kernel: inout K) {
    switch state {
    case .connected:
      state = .finishing
      readable = true
      kernel.shutdownSending(socket)
    case .finishing, .done: break
    case .idle, .resolving, .dialing, .proving, .waiting:
      closeSocket(&kernel)
      state = .done
    }
  }

  /// Receives what the backend still sends, and discards it.
  ///
  /// It is received where the next read would have gone: the shards may still be sending packets from anywhere before
  /// `read`. There is room for one read there at any time, by the size of the memory.
  @inline(never)
  mutating func discardInput(_ kernel: inout K) {
    assert(memory.capacity - Int(read - oldestHeld()) >= Limits.downlinkRead, "a read would go over what shards hold")
    var share = Limits.readsPerTurn
    while readable, share > 0 {
      let received = kernel.receive(socket, memory[read], Limits.downlinkRead)
      if received > 0 {
        share -= received
        continue
      }
      switch received == 0 ? .broken : NoBytes(received) {
      case .wouldBlock: readable = false
      case .later: return
      case .broken:
        closeSocket(&kernel)
        state = .done
      }
    }
  }
}
