/// Sessions and what the backend is told of them.
extension Shard where K: ~Copyable {
  /// Removes a session that is over: its 0x01 goes behind all its data, or waits in the session's own slot for room.
  /// Attempts to come back as its client are closed.
  @inline(never)
  mutating func removeSession(_ slot: UInt32, _ reason: CloseReason, _ kernel: inout K) {
    remember(slot, reason, kernel)
    if sessions[slot].state == .stale { stale.remove(slot, sessions) }
    if sessions[slot].connection != .none { connections[sessions[slot].connection].session = .none }
    closeAttempts(on: slot, but: .none, sessionIsOver: true, &kernel)
    sessions[slot].missed.clear()
    sessions[slot].sessionKey?.release()
    sessions[slot].sessionKey = nil
    let (id, address) = (sessions[slot].id, sessions[slot].address)
    if sessions.firstOwed == nil, hasControlRoom() {
      appendFailure(id, reason.text)
      sessions.remove(slot)
    } else {
      sessions.owe(slot, reason)
    }
    counters.add(.sessionsEnded)
    if reason.isLimit {
      events.tally(reason.metric, .info, of: Event.Session(id: id, address: address), &kernel)
    } else {
      counters.add(reason.metric)
    }
    if events.wants(.debug) { events.post(.sessionEnded(id: id, reason, from: address), &kernel) }
  }

  /// Posts an event of a session.
  @inline(never)
  mutating func post(_ event: (_ id: UInt64, _ from: AddressKey) -> Event, _ slot: UInt32, _ kernel: inout K) {
    events.post(event(sessions[slot].id, sessions[slot].address), &kernel)
  }

  /// Room in the uplink for a 0x01 or a 0x03.
  mutating func hasControlRoom() -> Bool { uplink.hasControlRoom() }

  /// Room that is kept for nothing else. A 0x04 or a 0x07 takes no other: newcomers who come while nobody takes
  /// anything must not use up what is kept for clients that come back.
  private mutating func hasFreeRoom() -> Bool { uplink.room(for: Limits.uplinkReserve) >= Limits.uplinkReserve }

  /// Whether there is room for what is owed of a session.
  mutating func hasRoom(forOwed slot: UInt32) -> Bool {
    sessions[slot].owed.isDisjoint(with: [.address, .away]) ? hasControlRoom() : hasFreeRoom()
  }

  /// Says what waited for room, oldest first; of each session in order.
  @inline(never)
  mutating func sendOwed() {
    while let slot = sessions.firstOwed, hasRoom(forOwed: slot) {
      if sessions[slot].owed.contains(.address) {
        sayAddress(slot)
        sessions.removeFirstOwed(.address)
      } else if sessions[slot].owed.contains(.away) {
        uplink.sayAway(of: sessions[slot].id)
        sessions.removeFirstOwed(.away)
      } else if sessions[slot].owed.contains(.failure) {
        appendFailure(sessions[slot].id, sessions[slot].reason.text)
        sessions.removeFirstOwed(.failure)
      } else {
        sessions.removeFirstOwed(.nothing)
      }
    }
  }

  /// Says what is owed of a session whose client is back, which does not wait for others. There is
  /// ``hasControlRoom()``.
  mutating func sayOwed(_ slot: UInt32) {
    guard !sessions[slot].owed.isEmpty else { return }
    if sessions[slot].owed.contains(.address) { sayAddress(slot) }
    if sessions[slot].owed.contains(.away) { uplink.sayAway(of: sessions[slot].id) }
    sessions.settle(slot)
  }

  /// A session has begun: the backend is told where its client connects from. That makes the backend know nobody, as
  /// far as the table of stale sessions is concerned, nor does the 0x04.
  @inline(never)
  mutating func tellAddress(_ slot: UInt32) {
    if sessions.firstOwed == nil, hasFreeRoom() { sayAddress(slot) } else { sessions.owe(slot, .address) }
  }

  /// There is room for it.
  mutating func sayAddress(_ slot: UInt32) {
    counters.add(.addressesTold)
    uplink.say(sessions.origins[slot], of: sessions[slot].id)
  }

  /// A session has become stale. To be told so makes the backend know nobody, as far as the table of stale sessions is
  /// concerned: a crowd that connects and goes away must not take the places of the backend's own clients.
  @inline(never)
  mutating func tellAway(_ slot: UInt32) {
    counters.add(.awayTold)
    if sessions.firstOwed == nil, hasFreeRoom() {
      uplink.sayAway(of: sessions[slot].id)
    } else {
      sessions.owe(slot, .away)
    }
  }

  /// The answer to a packet for an id that is not a session. Takes only room that nothing else is kept for.
  @inline(never)
  mutating func answerUnknown(_ id: UInt64) {
    counters.add(.packetsUnknownClient)
    guard hasFreeRoom(), sessions.firstOwed == nil else {
      counters.add(.answersDropped)
      return
    }
    appendFailure(id, CloseReason.unknownClient)
  }

  private mutating func appendFailure(_ id: UInt64, _ reason: StaticString) {
    uplink.say(.failure, of: id, reason)
  }

  /// Ends a session, and closes its client's connection where there is one.
  @inline(never)
  mutating func endSession(_ slot: UInt32, _ reason: CloseReason, _ kernel: inout K) {
    let index = sessions[slot].connection
    if index != .none { endClient(index, reason, &kernel) } else { removeSession(slot, reason, &kernel) }
  }

  @inline(never)
  mutating func endAllSessions(_ reason: CloseReason, _ kernel: inout K) {
    for slot in 0..<sessions.used {
      switch sessions[slot].state {
      case .attached, .halfClosed, .stale: endSession(slot, reason, &kernel)
      case .free, .ending: break
      }
    }
  }

  /// The backend was lost, and sessions end with it; so do handshakes.
  @inline(never)
  mutating func endSessionsWithBackend(_ kernel: inout K) {
    dropsSeen = backendStatus.drops
    endAllSessions(.backendLost, &kernel)
    for index in 0..<connections.used {
      switch connections[index].phase {
      case .proxy, .version, .verifying: closeHandshake(index, &kernel)
      // It may be about to name a session in a shard that has yet to end its own, or that has begun since it did.
      case .key: refuseUnchallenged(index, &kernel)
      default: break
      }
    }
  }

  /// Answers the firehose, which asks which sessions live.
  @inline(never)
  mutating func answerSweep(_ kernel: inout K) {
    guard let request = sweep.takeRequest() else { return }
    var answer = SweepAnswer(
      request: request, sessions: sessions.live, tellsAway: settings.tellsAway, tellsAddresses: settings.tellsAddresses)
    for slot in 0..<sessions.used where !answer.hasFailed {
      switch sessions[slot].state {
      case .stale:
        stale.noteHeardOf(slot, sessions)
        answer.appendReconnection(sessions[slot].id)
        if settings.tellsAddresses { answer.append(sessions[slot].id, sessions.origins[slot]) }
        if settings.tellsAway { answer.appendAway(sessions[slot].id) }
      case .attached, .halfClosed:
        sessions[slot].isHeardOf = true
        answer.appendReconnection(sessions[slot].id)
        if settings.tellsAddresses { answer.append(sessions[slot].id, sessions.origins[slot]) }
      case .free, .ending: break
      }
    }
    if sweep.publish(answer) { firehoseBell.wake(&kernel) }
  }
}
