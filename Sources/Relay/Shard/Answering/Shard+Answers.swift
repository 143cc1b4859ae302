/// What the control thread asks of a shard while it runs: who its clients are, to let some of them go, and what ended.
extension Shard where K: ~Copyable {
  /// Answers what fits into a turn: at most ``Limits/querySlice`` sessions are looked at or ended.
  @inline(never)
  mutating func answerQueries(_ kernel: inout K) {
    var share = Limits.querySlice
    while let request = queries.take(share: share) {
      share -= request.question.share
      answer(request, kernel: &kernel)
    }
    if queries.publish() { kernel.wakeControl() }
  }

  private mutating func answer(_ request: ShardRequest, kernel: inout K) {
    let number = request.number
    var (next, ended) = (UInt64?.none, 0 as UInt32)
    switch request.question {
    case .clients(let filter):
      next = visit(from: request.cursor) { shard, slot in
        guard shard.matches(slot, filter) else { return }
        shard.queries.push(.row(number: number, .client(shard.row(slot, kernel))))
      }
    case .end(let id, let reason):
      if let slot = sessions.findLive(id, at: sessions.place(of: id).slot) {
        end(slot, reason, &kernel)
        ended = 1
      }
    case .letGo(let id):
      if !control.accepts, let slot = sessions.findLive(id, at: sessions.place(of: id).slot) {
        // Also if it is taken back at this very moment.
        letsGo = true
        letGo(slot, &kernel)
        ended = 1
      }
    case .endAll(let filter, let reason):
      next = visit(from: request.cursor) { shard, slot in
        guard shard.matches(slot, filter) else { return }
        shard.end(slot, reason, &kernel)
        ended += 1
      }
    case .ended:
      next = endedSessions.list(before: request.cursor, count: Limits.querySlice) {
        queries.push(.row(number: number, .ended($0)))
      }
    case .refused:
      next = refusals.list(before: request.cursor, count: Limits.querySlice) {
        queries.push(.row(number: number, .ended($0)))
      }
    }
    queries.push(.slice(number: number, next: next, ended: ended))
  }

  private mutating func end(_ slot: UInt32, _ reason: CloseReason, _ kernel: inout K) {
    if reason == .relayDraining { letGo(slot, &kernel) } else { endSession(slot, reason, &kernel) }
  }

  /// Calls `body` for the sessions of a slice of slots. Returns where the next one begins; nil if this was the last.
  @inline(__always)
  private mutating func visit(from cursor: UInt64, _ body: (inout Self, UInt32) -> Void) -> UInt64? {
    let start = UInt32(min(cursor, UInt64(sessions.used)))
    let end = start + min(sessions.used - start, UInt32(Limits.querySlice))
    for slot in start..<end { body(&self, slot) }
    return end < sessions.used ? UInt64(end) : nil
  }

  private func matches(_ slot: UInt32, _ filter: ClientFilter) -> Bool {
    let session = sessions[slot]
    guard let state = session.state.shown else { return false }
    return (filter.id ?? session.id) == session.id && (filter.state ?? state) == state
      && (filter.addresses?.contains(session.address) ?? true)
  }

  private func row(_ slot: UInt32, _ kernel: borrowing K) -> ClientRow {
    let session = sessions[slot]
    let index = session.connection
    var (pending, memory) = (session.missed.count, session.missed.memory)
    var idle = kernel.now &- session.staleSince
    if index != .none {
      pending = connections[index].pending.count
      memory = WaitingBytes.held(by: connections[index]) + UnfinishedPackets.held(by: connections[index])
      idle = connections[index].traffic.idle(at: kernel.now)
    }
    let traffic = traffic(of: slot, kernel)
    return ClientRow(
      id: session.id, address: session.address, state: session.state.shown ?? .stale,
      age: session.began.time(until: kernel.now), idle: idle, packetsUp: traffic.packetsUp, bytesUp: traffic.bytesUp,
      packetsDown: traffic.packetsDown, bytesDown: traffic.bytesDown, pendingBytes: pending, memoryBytes: memory)
  }

  private func traffic(of slot: UInt32, _ kernel: borrowing K) -> Traffic {
    let index = sessions[slot].connection
    return index == .none ? Traffic(sessions[slot].kept, at: kernel.now) : connections[index].traffic
  }

  // MARK: What ended

  /// Remembers a session that ends.
  mutating func remember(_ slot: UInt32, _ reason: CloseReason, _ kernel: borrowing K) {
    let (session, traffic) = (sessions[slot], traffic(of: slot, kernel))
    endedSessions.append(
      EndedRow(
        cause: .session(reason), id: session.id, address: session.address, time: kernel.machineNow,
        age: session.began.time(until: kernel.now), bytesUp: traffic.bytesUp, bytesDown: traffic.bytesDown))
  }

  /// Remembers a connection that is refused.
  mutating func remember(_ reason: RefusalReason, _ address: AddressKey, _ kernel: borrowing K) {
    refusals.append(
      EndedRow(
        cause: .refusal(reason), id: 0, address: address, time: kernel.machineNow, age: 0, bytesUp: 0, bytesDown: 0))
  }
}

extension Session.State {
  /// What is told of it; nil if there is no session.
  fileprivate var shown: ClientRow.State? {
    switch self {
    case .attached: .attached
    case .halfClosed: .halfClosed
    case .stale: .stale
    case .free, .ending: nil
    }
  }
}
