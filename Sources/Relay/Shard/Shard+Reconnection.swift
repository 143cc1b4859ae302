import Glibc
import VoltlaneCrypto
import VoltlaneWire

/// A client that comes back:
///
///     client -> relay   client id
///     relay  -> client  challenge: 32 random bytes, sealed           by a worker
///     client -> relay   challenge response: the same, sealed anew    opened by a worker
///     client -> relay   ping                                         the reconnection takes effect
///     relay  -> client  ping, then missed packets, then live data
///
/// Until the ping an attempt changes nothing for the session that it names. Any number may run side by side.
extension Shard where K: ~Copyable {
  /// A connection named the session that it wants back. Its shard may be another: the socket goes there.
  @inline(never)
  mutating func comeBack(_ index: UInt32, _ id: UInt64, _ kernel: inout K) {
    let place = sessions.place(of: id)
    if place.shard == self.index || place.shard >= peers.count {
      beginAttempt(index, id, place.slot, &kernel)
    } else {
      handOver(index, id, to: place.shard, &kernel)
    }
  }

  private mutating func beginAttempt(
    _ index: UInt32, _ id: UInt64, _ slot: UInt32, _ kernel: inout K
  ) {
    // Unknown or over: an orderly close says so, and nothing else does.
    guard let slot = sessions.findLive(id, at: slot) else { return closeGracefully(index, &kernel) }
    if admission.mayReconnect(as: id, connections[index].address, connections[index].standing, now: kernel.machineNow) {
      counters.add(.reconnectionsBegun)
    } else {
      // Its challenge is what tells it that the session lives. Sealed with a key that is there from the last attempt.
      tell(.reconnectFailures, connections[index].address, &kernel)
      connections[index].flags.insert(.refused)
    }
    let plain = SealedBox.Plain(randomFrom: &kernel)
    let nonce = SealedBox.Nonce(randomFrom: &kernel)
    guard let attempt = AttemptReference(Attempt(slot: slot, id: id, plain: plain, nonce: nonce)) else {
      return resetHandshake(index, .memory, &kernel)
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

  /// The challenge's box is ready.
  @inline(never)
  mutating func sealed(
    _ connection: Token, _ box: SealedBox.Bytes, _ key: SessionKeyReference, _ kernel: inout K
  ) {
    guard let index = connections.find(connection), connections[index].phase == .sealing,
      let attempt = connections[index].attempt?.value
    else { return key.release() }
    // While there is an attempt its session lives. The key agreement is done once a session.
    if sessions[attempt.slot].sessionKey == nil {
      sessions[attempt.slot].sessionKey = key
    } else {
      key.release()
    }
    enter(.response, index)
    resumeClock(index, kernel)
    guard sendHandshake(index, .challenge(box.span.bytes), &kernel) else { return }
    if connections[index].flags.contains(.refused) { return closeGracefully(index, &kernel) }
    markReady(index)
  }

  /// The worker had no memory for the session's key: the client may try again later.
  @inline(never)
  mutating func notSealed(_ connection: Token, _ kernel: inout K) {
    guard let index = connections.find(connection), connections[index].phase == .sealing else { return }
    connections[index].flags.remove(.refused)
    resetHandshake(index, .memory, &kernel)
    // Where there is no reset, and no challenge that could go before a close.
    if connections[index].phase == .sealing { drop(index, &kernel) }
  }

  /// The client's response, which a worker opens. The challenge's own box sent back would open to the right bytes: its
  /// nonce gives it away.
  @inline(never)
  mutating func responded(_ index: UInt32, _ box: SealedBox.Bytes, _ kernel: inout K) {
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

  @inline(never)
  mutating func opened(_ connection: Token, _ isRight: Bool, _ kernel: inout K) {
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
      events.post(.reconnectionRefused(id: attempt.id), &kernel)
    }
    offend(index, &kernel)
    closeGracefully(index, &kernel)
  }

  /// The ping has come.
  mutating func pinged(_ index: UInt32) {
    enter(.returning, index)
    connections[index].deadline = .max
  }

  // MARK: Taking effect

  /// Lets the reconnections take effect whose pings have come. Called while no send is under way.
  @inline(never)
  mutating func applyReturns(_ kernel: inout K) {
    guard !sends.areUnderWay else { return }
    while let index = queues.returning.first, sessions.firstOwed == nil, hasControlRoom() {
      // There is an attempt in this phase. If there were none, nothing would take the connection out of the queue.
      guard let attempt = connections[index].attempt?.value else { return closeGracefully(index, &kernel) }
      takeOver(index, attempt.slot, &kernel)
    }
  }

  private mutating func takeOver(_ index: UInt32, _ slot: UInt32, _ kernel: inout K) {
    // First, while the connection is nobody's: where it is gone, the session stays as it is.
    guard sendHandshake(index, .ping, &kernel) else { return }
    if sessions[slot].state == .stale { stale.remove(slot, sessions) } else { leaveOldSocket(slot, &kernel) }
    closeAttempts(on: slot, but: index, sessionIsOver: false, &kernel)
    unlinkAttempt(index)

    sessions[slot].state = .attached
    sessions[slot].connection = index
    sessions[slot].isHeardOf = true
    sessions[slot].address = connections[index].address
    admission.endHandshake(index, connections)
    connections[index].session = slot
    enter(.attached, index)
    beginSilence(index, kernel)
    if connections[index].unfinished != nil { connections[index].flags.insert(.stashed) }
    if connections[index].flags.contains(.hungUp) { noteGone(index) }
    connections[index].pending.carryOver(sessions[slot].missed, exempt: settings.carriedOver)
    sessions[slot].missed = PendingBytes()
    memory.charge(index, connections)
    heedBacklog(index, kernel)
    goOnWithSlowness(index, sessions[slot].slowFor, kernel)
    sessions[slot].slowFor = 0
    // Before any data of the new connection, behind all of the old one.
    uplink.append(id: sessions[slot].id, flag: .reconnection)
    counters.add(.reconnections)
    if events.wants(.debug) { events.post(.sessionReturned(id: sessions[slot].id), &kernel) }
    sendPending(index, &kernel)
    if connections[index].phase == .attached { markReady(index) }
  }

  /// The session's old socket still looks alive, or is half closed: it ends with nothing more sent. Whole packets read
  /// from it are in the lane; nothing more is read.
  private mutating func leaveOldSocket(_ slot: UInt32, _ kernel: inout K) {
    let old = sessions[slot].connection
    if connections[old].phase == .halfClosed {
      connections[old].pending.acknowledge(allBut: kernel.unacknowledged(connections[old].socket))
      // They are sent on the new socket: the old one must not deliver them as well.
      if !connections[old].pending.isEmpty { kernel.reset(connections[old].socket) }
    }
    sessions[slot].slowFor = slowness(old, &kernel)
    takePending(of: old, slot)
    connections[old].session = .none
    drop(old, &kernel)
  }

  // MARK: Attempts

  /// Refuses a connection that has sent its client id, or may have, and has no challenge yet. "Later" must not look
  /// like "over", which is what an orderly close says there; and a reset is one to whoever is behind a proxy, and on a
  /// unix socket. So something comes before it: where the challenge is being sealed, that, and the close behind it;
  /// where the id may still be on its way, the beginning of a challenge, within which the connection then ends.
  @inline(never)
  mutating func refuseUnchallenged(_ index: UInt32, _ kernel: inout K) {
    if connections[index].phase == .sealing {
      connections[index].flags.insert(.refused)
      return discardUnfinished(index)
    }
    // Where something waits for room in the socket, the stream stands within a packet already.
    if connections[index].phase == .key, connections[index].pending.isEmpty {
      beginChallenge(connections[index].socket, &kernel)
    }
    kernel.reset(connections[index].socket)
    drop(index, &kernel)
  }

  /// Sends the beginning of a challenge that nobody seals: it costs no cryptography, and opens for nobody.
  func beginChallenge(_ socket: Int32, _ kernel: inout K) {
    let challenge = gather.place(.challenge(SealedBox.Bytes(repeating: 0).span.bytes))
    _ = kernel.send(socket, challenge, Wire.sizePrefix)
  }

  /// Closes the attempts on a session, but one.
  mutating func closeAttempts(
    on slot: UInt32, but kept: UInt32, sessionIsOver: Bool, _ kernel: inout K
  ) {
    var next = sessions[slot].attempts
    while next != .none {
      let index = next
      next = connections[index].attempt?.value.next ?? .none
      guard index != kept else { continue }
      if connections[index].phase == .sealing, !sessionIsOver {
        refuseUnchallenged(index, &kernel)
      } else {
        closeGracefully(index, &kernel)
      }
    }
  }

  /// Frees what a connection remembers of its attempt.
  mutating func unlinkAttempt(_ index: UInt32) {
    guard let reference = connections[index].attempt else { return }
    let attempt = reference.value
    if attempt.previous == .none {
      sessions[attempt.slot].attempts = attempt.next
    } else {
      connections[attempt.previous].attempt?.value.next = attempt.next
    }
    if attempt.next != .none { connections[attempt.next].attempt?.value.previous = attempt.previous }
    reference.free()
    connections[index].attempt = nil
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
