import Glibc

/// How connections end: closed, reset or aborted. (Design.md has the words.)
///
/// **Closing** a client means: what is queued is sent, then a FIN, then input is discarded until the client's FIN, then
/// the socket is closed; a reset only after 5 s. If the socket were closed with unread input, the kernel would reset
/// the connection, and what was queued would be lost.
extension Shard where K: ~Copyable {
  /// Sets when the connection's phase runs out.
  mutating func setDeadline(_ index: UInt32, _ deadline: UInt64) {
    connections[index].deadline = deadline
    wheel.arm(index, at: realDeadline(index), connections)
  }

  /// The clock of packets' deadlines: it stands still while the shard cannot read.
  @inline(__always)
  func now(_ kernel: borrowing K) -> UInt64 { readingClock.time(at: kernel.now) }

  private func realDeadline(_ index: UInt32) -> UInt64 {
    guard connections[index].phase == .attached, connections[index].deadline != .max else {
      return connections[index].deadline
    }
    return readingClock.moment(of: connections[index].deadline)
  }

  /// A connection has come up in the wheel: its deadline has passed by `time`, or was moved meanwhile.
  @inline(never)
  mutating func expired(_ index: UInt32, by time: UInt64, _ kernel: inout K) {
    if connections[index].phase == .attached { return attachedExpired(index, by: time, &kernel) }
    guard connections[index].deadline != .max else { return }
    guard connections[index].deadline <= time else {
      return wheel.arm(index, at: connections[index].deadline, connections)
    }
    if connections[index].phase != .closing, isStillRead(index, deadline: connections[index].deadline, by: time) {
      return wheel.arm(index, at: time, connections)
    }
    switch connections[index].phase {
    case .proxy: refuse(index, .proxyHeader, &kernel)
    // Abandoned: that does not count against the address.
    case .version, .key, .response, .ping: refuse(index, .handshakeTimeout, &kernel)
    case .halfClosed: detach(index, &kernel)
    case .closing: reset(index, &kernel)
    case .attached, .verifying, .sealing, .opening, .returning, .free, .released:
      break
    }
  }

  /// The client's FIN: it may be a half-close, so it is still written to for a while.
  @inline(never)
  mutating func halfClose(_ index: UInt32, _ kernel: inout K) {
    guard !connections[index].flags.contains(.wasReset) else { return detach(index, &kernel) }
    admission.countOutOfAddress(index, connections)
    discardUnfinished(index)
    enter(.halfClosed, index)
    connections[index].flags.insert(.finRead)
    sessions[connections[index].session].state = .halfClosed
    setDeadline(index, kernel.now &+ settings.halfCloseTimeout)
  }

  /// Ends a client for a reason of the relay's or the backend's.
  @inline(never)
  mutating func endClient(_ index: UInt32, _ reason: CloseReason, _ kernel: inout K) {
    let slot = connections[index].session
    if slot != .none { removeSession(slot, reason, &kernel) }
    close(index, &kernel)
  }

  /// Begins to close a connection as described above. From now on what the client sends is discarded.
  @inline(never)
  mutating func close(_ index: UInt32, _ kernel: inout K) {
    guard connections[index].phase.hasSocket, connections[index].phase != .closing else { return }
    admission.countOutOfAddress(index, connections)
    discardUnfinished(index)
    removeAttempt(index)
    connections[index].pending.advance(0)
    enter(.closing, index)
    memory.charge(index, connections)
    setDeadline(index, kernel.now &+ Limits.closeTimeout)
    // What came before the decision is still unread: discard it, or the close would reset.
    markReady(index)
    finishIfFlushed(index, &kernel)
  }

  /// Sends the FIN of a closing connection once nothing is left to send, and closes it once both FINs have passed.
  @inline(__always)
  mutating func finishIfFlushed(_ index: UInt32, _ kernel: inout K) {
    if connections[index].phase == .closing { finishClosing(index, &kernel) }
  }

  @inline(never)
  private mutating func finishClosing(_ index: UInt32, _ kernel: inout K) {
    guard connections[index].pending.unsentCount == 0, connections[index].inboxCount == 0,
      connections[index].flags.isDisjoint(with: [.sending, .dirty])
    else {
      sends.markAwaited()
      return
    }
    if !connections[index].flags.contains(.finSent) {
      connections[index].flags.insert(.finSent)
      kernel.shutdownSending(connections[index].socket)
    }
    if connections[index].flags.contains(.finRead) { abort(index, &kernel) }
  }

  /// Reads a closing connection and discards what was read. Returns the number of bytes.
  @inline(never)
  mutating func discardInput(_ index: UInt32, _ kernel: inout K) -> Int {
    let received = kernel.receive(connections[index].socket, readBuffer.start, readBuffer.capacity)
    if received > 0 {
      markReady(index)
      return received
    }
    if received == 0 {
      connections[index].flags.insert(.finRead)
      finishIfFlushed(index, &kernel)
      return 0
    }
    switch NoBytes(received) {
    case .wouldBlock: break
    case .later: markReady(index)
    case .broken: abort(index, &kernel)
    }
    return 0
  }

  /// Aborts every connection, whatever is queued.
  mutating func abortAll(_ kernel: inout K) {
    acceptor.close(&kernel)
    drain = .delivered
    for index in 0..<connections.used { abort(index, &kernel) }
  }

  /// Resets a connection.
  mutating func reset(_ index: UInt32, _ kernel: inout K) {
    kernel.reset(connections[index].socket)
    abort(index, &kernel)
  }

  /// Closes the socket at once and frees what the connection holds. Its session has another connection, or none.
  @inline(never)
  mutating func abort(_ index: UInt32, _ kernel: inout K) {
    guard connections[index].phase.hasSocket else { return }
    let socket = connections[index].socket
    removeAttempt(index)
    releaseSlot(index, &kernel)
    kernel.submit(.close(socket), Token(.none))
  }

  /// Frees what the connection holds, but leaves the socket open. The polls hold it open too: they have to go before
  /// its close.
  mutating func releaseSlot(_ index: UInt32, _ kernel: inout K) {
    if !connections[index].flags.contains(.unpolled) {
      let socket = connections[index].socket
      kernel.submit(.cancel(connections.token(.clientReadable, index), of: socket), Token(.none))
      if connections[index].flags.contains(.waitsForRoom) {
        kernel.submit(.cancel(connections.token(.clientWritable, index), of: socket), Token(.none))
      }
    }
    admission.countOut(index, connections)
    discardUnfinished(index)
    connections[index].pending.clear()
    connections[index].kernelMemory = 0
    connections[index].inboxCount = 0
    wheel.unlink(index, connections)
    enter(.released, index)
    memory.charge(index, connections)
    connections.freeIfReleased(index)
  }
}
