import Glibc

/// How connections end.
///
/// **Closing** a client means: what is queued is sent, then a FIN, then input is discarded until the client's FIN, then
/// a plain close; a reset only after 5 s. A plain close with unread input would make the kernel reset the connection
/// and lose what was queued.
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

  /// A connection has come up in the wheel: its deadline has passed by `time`, or has moved away meanwhile.
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
    case .proxy:
      reject(index, .proxyHeader, &kernel)
    case .version:
      reject(index, .handshakeTimeout, &kernel)
    case .key:
      resetHandshake(index, .handshakeTimeout, &kernel)
    case .halfClosed:
      lose(index, &kernel)
    case .closing:
      kernel.reset(connections[index].socket)
      drop(index, &kernel)
    case .response, .ping:
      // Abandoned: that counts against nobody's address.
      tell(.handshakeTimeout, connections[index].address, &kernel)
      closeGracefully(index, &kernel)
    case .attached, .verifying, .sealing, .opening, .returning, .free, .released:
      break
    }
  }

  /// The client's FIN: it may be a half-close, so it is still written to for a while.
  @inline(never)
  mutating func halfClose(_ index: UInt32, _ kernel: inout K) {
    guard !connections[index].flags.contains(.wasReset) else { return lose(index, &kernel) }
    admission.leaveAddress(index, connections)
    discardUnfinished(index)
    enter(.halfClosed, index)
    connections[index].flags.insert(.finRead)
    sessions[connections[index].session].state = .halfClosed
    setDeadline(index, kernel.now &+ settings.halfCloseTimeout)
  }

  /// The socket is gone. Its session goes stale, with what the socket did not deliver: that is known when a send that
  /// is under way has completed.
  @inline(never)
  mutating func lose(_ index: UInt32, _ kernel: inout K) {
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
    detach(index, &kernel)
    drop(index, &kernel)
  }

  /// Ends a client for a reason of the relay's or the backend's.
  @inline(never)
  mutating func fail(_ index: UInt32, _ reason: CloseReason, _ kernel: inout K) {
    let slot = connections[index].session
    if slot != .none { endSession(slot, reason, &kernel) }
    closeGracefully(index, &kernel)
  }

  /// Begins to close a connection as described above. Nothing is taken from the client any more.
  @inline(never)
  mutating func closeGracefully(_ index: UInt32, _ kernel: inout K) {
    guard connections[index].phase.hasSocket, connections[index].phase != .closing else { return }
    admission.leaveAddress(index, connections)
    discardUnfinished(index)
    unlinkAttempt(index)
    connections[index].pending.hand(0)
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
    if connections[index].flags.contains(.finRead) { drop(index, &kernel) }
  }

  /// Reads a closing connection to nowhere. Returns the bytes.
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
    switch Refusal(received) {
    case .wouldBlock: break
    case .later: markReady(index)
    case .broken: drop(index, &kernel)
    }
    return 0
  }

  /// Closes every socket at once, whatever is queued.
  mutating func closeSockets(_ kernel: inout K) {
    acceptor.close(&kernel)
    drain = .handedOver
    for index in 0..<connections.used { drop(index, &kernel) }
  }

  /// Closes the socket at once and frees what the connection holds. Its session must have been ended.
  @inline(never)
  mutating func drop(_ index: UInt32, _ kernel: inout K) {
    guard connections[index].phase.hasSocket else { return }
    let socket = connections[index].socket
    unlinkAttempt(index)
    release(index, &kernel)
    kernel.submit(.close(socket), Token(.none))
  }

  /// Frees what the connection holds, but leaves the socket open. The polls hold it open too: they have to go before
  /// its close.
  mutating func release(_ index: UInt32, _ kernel: inout K) {
    kernel.submit(.cancel(connections.token(.clientReadable, index)), Token(.none))
    if connections[index].flags.contains(.waitsForRoom) {
      kernel.submit(.cancel(connections.token(.clientWritable, index)), Token(.none))
    }
    admission.leave(index, connections)
    discardUnfinished(index)
    connections[index].pending.clear()
    connections[index].kernelMemory = 0
    connections[index].inboxCount = 0
    wheel.unlink(index, connections)
    enter(.released, index)
    memory.charge(index, connections)
    connections.settle(index)
  }
}
