import Glibc
import VoltlaneCrypto
import VoltlaneWire

/// A reconnection, from the old socket to the new one, in the order in which it happens. ``Connection/Phase`` has the
/// phases of the new connection.
///
///      1. detach             the client's socket is gone
///      2. makeStale          its session keeps what was not delivered, and what the backend goes on sending
///      3. reconnect          a new connection, on any shard, names the session by its client id
///      4. handOver, adopt    the socket goes to the shard that has the session
///      5. beginAttempt       a worker seals the challenge              key -> sealing
///      6. challengeSealed    relay -> client: the challenge            sealing -> response
///      7. responseCame       a worker opens the client's response      response -> opening
///      8. responseOpened     the client has proved who it is           opening -> ping
///      9. pingCame           the reconnection waits for its turn       ping -> returning
///     10. resumeReturning    relay -> client: the ping, and what it missed; relay -> backend: a 0x03
///                                                                      returning -> attached
///
/// Without steps 1 and 2 the client comes back before the relay knows that its old socket is gone: step 10 closes that.
/// Until then an attempt changes nothing for the session that it names, and any number may go on side by side.
extension Shard where K: ~Copyable {
  // MARK: The old socket

  /// 1. The client's socket is gone. The session goes stale with what the socket did not deliver, which is known only
  /// when a send that is under way has completed.
  @inline(never)
  mutating func detach(_ index: UInt32, _ kernel: inout K) {
    guard connections[index].flags.isDisjoint(with: .sending) else {
      connections[index].flags.insert(.lost)
      sends.markAwaited()
      return
    }
    if connections[index].phase == .halfClosed {
      connections[index].pending.acknowledge(allBut: kernel.unacknowledged(connections[index].socket))
      // They are missed packets now: the socket must not deliver them as well.
      kernel.reset(connections[index].socket)
    }
    makeStale(index, &kernel)
    abort(index, &kernel)
  }

  /// 2. The session of a connection that is gone becomes stale, and keeps what the socket did not take whole. If
  /// `--stale-timeout` is 0, it ends instead.
  @inline(never)
  mutating func makeStale(_ index: UInt32, _ kernel: inout K) {
    let slot = connections[index].session
    guard slot != .none else { return }
    connections[index].session = .none
    sessions[slot].connection = .none
    sessions[slot].kept = KeptTraffic(connections[index].traffic)
    guard settings.staleTimeout > 0 else { return endSession(slot, .staleTimeout, &kernel) }
    sessions[slot].slowFor = slowness(index, &kernel)
    keepUndelivered(of: index, slot)
    sessions[slot].state = .stale
    sessions[slot].staleSince = kernel.now
    stale.add(slot, sessions)
    counters.add(.sessionsGoneStale)
    if events.wants(.debug) { post(Event.sessionStale, slot, &kernel) }
    missedGrew(&kernel)
    if stale.totals.count > settings.maxStaleClients { evictStale(&kernel) }
    // Last: of one that was over at once, the backend hears nothing but that.
    if settings.tellsAway, sessions[slot].state == .stale { tellAway(slot) }
  }

  /// What a connection's socket did not deliver moves to its session, at the start of what the client missed.
  mutating func keepUndelivered(of index: UInt32, _ slot: UInt32) {
    counters.add(.volatileDropped, connections[index].pending.rewind(exempt: settings.carriedOver))
    sessions[slot].missed = connections[index].pending
    connections[index].pending = PendingBytes()
  }

  // MARK: To the session's shard

  /// 3. A connection named the session that it wants back. That may be in another shard: the socket goes there.
  @inline(never)
  mutating func reconnect(_ index: UInt32, _ id: UInt64, _ kernel: inout K) {
    let place = sessions.place(of: id)
    if place.shard == number || place.shard >= peers.count {
      beginAttempt(index, id, place.slot, &kernel)
    } else {
      handOver(index, id, to: place.shard, &kernel)
    }
  }

  /// Whether a connection that wants the session `id` back can be handed over to its shard now.
  mutating func canHandOver(to id: UInt64) -> Bool {
    let shard = sessions.place(of: id).shard
    return shard == number || shard >= peers.count || peers.hasRoom(shard)
  }

  /// 4. The socket goes to the session's shard, with all that is known about it; ``adopt(_:_:)`` is the other end.
  @inline(never)
  mutating func handOver(_ index: UInt32, _ id: UInt64, to shard: Int, _ kernel: inout K) {
    guard peers.hasRoom(shard), case .no = drain else {
      return refuseUnchallenged(index, &kernel)
    }
    admission.countHandshakeOut(index, connections)
    let early = connections[index].unfinished
    connections[index].unfinished = nil
    unfinished.update(index, connections.slots)
    let handed = HandedSocket(
      socket: connections[index].socket, id: id, timeLeft: timeLeft(index, kernel),
      address: connections[index].address, standing: connections[index].standing,
      origin: settings.tellsAddresses ? connections.origins[index] : .unknown, early: early,
      pending: connections[index].pending)
    peers.handOver(handed, to: shard)
    connections[index].pending = PendingBytes()
    connections[index].standing = []
    releaseSlot(index, &kernel)
  }

  // MARK: The challenge

  /// 5. Where the session lives, a worker seals a challenge for its client.
  private mutating func beginAttempt(_ index: UInt32, _ id: UInt64, _ slot: UInt32, _ kernel: inout K) {
    // Unknown or over: an orderly close says so, and nothing else does.
    guard let slot = sessions.findLive(id, at: slot) else { return close(index, &kernel) }
    if admission.mayReconnect(as: id, connections[index].address, connections[index].standing, now: kernel.machineNow) {
      counters.add(.reconnectionsBegun)
    } else {
      // The challenge tells the client that its session lives. It is sealed with the key of the last attempt.
      noteRefusal(.reconnectFailures, connections[index].address, &kernel)
      connections[index].flags.insert(.refused)
    }
    let plain = SealedBox.Plain(randomFrom: &kernel)
    let nonce = SealedBox.Nonce(randomFrom: &kernel)
    guard let attempt = AttemptReference(Attempt(slot: slot, id: id, plain: plain, nonce: nonce)) else {
      return refuse(index, .memory, &kernel)
    }
    connections[index].attempt = attempt
    attempt.value.next = sessions[slot].attempts
    if sessions[slot].attempts != .none {
      connections[sessions[slot].attempts].attempt?.value.previous = index
    }
    sessions[slot].attempts = index
    enter(.sealing, index)
    submit(
      index,
      .seal(
        plain: plain, nonce: nonce, client: sessions[slot].publicKey, key: sessions[slot].sessionKey?.copy()), kernel)
  }

  /// 6. The challenge's box is ready.
  @inline(never)
  mutating func challengeSealed(
    _ connection: Token, _ box: SealedBox.Bytes, _ key: SessionKeyReference, _ kernel: inout K
  ) {
    guard let index = connections.find(connection), connections[index].phase == .sealing,
      let attempt = connections[index].attempt?.value
    else { return key.release() }
    // While there is an attempt, its session lives. The key agreement is done once for each session.
    if sessions[attempt.slot].sessionKey == nil {
      sessions[attempt.slot].sessionKey = key
    } else {
      key.release()
    }
    enter(.response, index)
    resumeClock(index, kernel)
    guard sendHandshake(index, .challenge(box.span.bytes), &kernel) else { return }
    if connections[index].flags.contains(.refused) { return close(index, &kernel) }
    markReady(index)
  }

  /// The worker had no memory for the session's key: the client may try again later.
  @inline(never)
  mutating func challengeNotSealed(_ connection: Token, _ kernel: inout K) {
    guard let index = connections.find(connection), connections[index].phase == .sealing else { return }
    // There is no challenge that could go before a close, and without one a FIN says that the session is over.
    noteRefusal(.memory, connections[index].address, &kernel)
    refuseUnchallenged(index, atOnce: true, &kernel)
  }

  /// 7. The client's response has come, and a worker opens it. The challenge's own box, sent back, would open to the
  /// right bytes: its nonce gives it away.
  @inline(never)
  mutating func responseCame(_ index: UInt32, _ box: SealedBox.Bytes, _ kernel: inout K) {
    guard let attempt = connections[index].attempt?.value,
      let key = sessions[attempt.slot].sessionKey,
      let nonce = SealedBox.nonce(of: box.span.bytes)
    else { return refuseMalformed(index, &kernel) }
    guard !ConstantTime.areEqual(nonce.span.bytes, attempt.nonce.span.bytes) else {
      return refuseResponse(index, &kernel)
    }
    enter(.opening, index)
    submit(index, .open(box: box, plain: attempt.plain, key: key.copy()), kernel)
  }

  /// 8. A worker has opened the response. If it is right, only the ping is missing.
  @inline(never)
  mutating func responseOpened(_ connection: Token, _ isRight: Bool, _ kernel: inout K) {
    guard let index = connections.find(connection), connections[index].phase == .opening else { return }
    guard isRight else { return refuseResponse(index, &kernel) }
    enter(.ping, index)
    resumeClock(index, kernel)
    markReady(index)
  }

  private mutating func refuseResponse(_ index: UInt32, _ kernel: inout K) {
    counters.add(.reconnectionsRefused)
    if let attempt = connections[index].attempt?.value {
      admission.failedReconnect(
        as: attempt.id, connections[index].address, connections[index].standing, now: kernel.machineNow)
      events.post(.reconnectionRefused(id: attempt.id, from: connections[index].address), &kernel)
    }
    noteOffence(index, &kernel)
    close(index, &kernel)
  }

  /// 9. The ping has come.
  mutating func pingCame(_ index: UInt32) {
    enter(.returning, index)
    connections[index].deadline = .max
  }

  // MARK: Taking effect

  /// 10. The reconnections whose pings have come take effect, once no send is under way and the uplink has room. What
  /// is owed of other sessions does not hold them up.
  @inline(never)
  mutating func resumeReturning(_ kernel: inout K) {
    guard !sends.areUnderWay else { return }
    while let index = queues.returning.first, hasControlRoom() {
      // There is an attempt in this phase. If there were none, nothing would take the connection out of the queue.
      guard let attempt = connections[index].attempt?.value else { return close(index, &kernel) }
      // Who was banned meanwhile does not come back: a ban ends the sessions of those who were there.
      guard !admission.isDenied(connections[index].address) else {
        refuse(index, .denied, &kernel)
        continue
      }
      resume(index, attempt.slot, &kernel)
    }
  }

  /// The session continues on the new connection.
  private mutating func resume(_ index: UInt32, _ slot: UInt32, _ kernel: inout K) {
    // First, while the connection has no session yet: if it turns out to be gone, the session stays as it is.
    guard sendHandshake(index, .ping, &kernel) else { return }
    if sessions[slot].state == .stale { stale.remove(slot, sessions) } else { leaveOldConnection(slot, &kernel) }
    closeAttempts(on: slot, but: index, sessionIsOver: false, &kernel)
    removeAttempt(index)

    sessions[slot].isHeardOf = true
    sessions[slot].address = connections[index].address
    attach(index, slot, kernel)
    connections[index].pending.carryOver(sessions[slot].missed, exempt: settings.carriedOver)
    sessions[slot].missed = PendingBytes()
    memory.charge(index, connections)
    updateBacklog(index, kernel)
    carryOverSlowness(index, sessions[slot].slowFor, kernel)
    sessions[slot].slowFor = 0
    // Before any data of the new connection, behind all of the old one.
    sayOwed(slot)
    uplink.say(.reconnection, of: sessions[slot].id)
    if settings.tellsAddresses {
      sessions.origins[slot] = connections.origins[index]
      sayAddress(slot)
    }
    counters.add(.reconnections)
    if events.wants(.debug) { post(Event.sessionReturned, slot, &kernel) }
    sendPending(index, &kernel)
    if connections[index].phase == .attached { markReady(index) }
  }

  /// The session's old connection still looks alive, or is half-closed: it is aborted with nothing more sent. Whole
  /// packets read from it are in the lane; nothing more is read.
  private mutating func leaveOldConnection(_ slot: UInt32, _ kernel: inout K) {
    let old = sessions[slot].connection
    if connections[old].phase == .halfClosed {
      connections[old].pending.acknowledge(allBut: kernel.unacknowledged(connections[old].socket))
      // They are sent on the new socket: the old one must not deliver them as well.
      if !connections[old].pending.isEmpty { kernel.reset(connections[old].socket) }
    }
    sessions[slot].slowFor = slowness(old, &kernel)
    keepUndelivered(of: old, slot)
    sessions[slot].kept = KeptTraffic(connections[old].traffic)
    connections[old].session = .none
    abort(old, &kernel)
  }
}

extension InlineArray where Element == UInt8 {
  /// Random bytes, from the one source of chance that a test can script.
  fileprivate init<K: Kernel & ~Copyable>(randomFrom kernel: inout K) {
    self.init(repeating: 0)
    var word: UInt64 = 0
    for index in 0..<count {
      if index % 8 == 0 { word = kernel.random() }
      self[index] = UInt8(truncatingIfNeeded: word >> UInt64(8 * (index % 8)))
    }
  }
}
