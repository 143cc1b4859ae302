import Glibc

/// How connections end.
///
/// **Closing** a client means: what is queued is sent, then a FIN, then input is discarded until the client's FIN, then
/// a plain close; a reset only after 5 s. A plain close with unread input would make the kernel reset the connection
/// and lose what was queued.
extension Shard {
  /// Sets when the connection's phase runs out.
  mutating func setDeadline(_ index: UInt32, _ deadline: UInt64) {
    connections[index].pointee.deadline = deadline
    wheel.arm(index, at: realDeadline(index), connections)
  }

  /// The clock of packets' deadlines: it stands still while the shard cannot read.
  @inline(__always)
  func now<K: Kernel & ~Copyable>(_ kernel: borrowing K) -> UInt64 { readingTime(at: kernel.now) }

  @inline(__always)
  func readingTime(at time: UInt64) -> UInt64 { min(time, pausedSince) &- pausedTotal }

  private func realDeadline(_ index: UInt32) -> UInt64 {
    let connection = connections[index]
    guard connection.pointee.phase == .attached, connection.pointee.deadline != .max else {
      return connection.pointee.deadline
    }
    return connection.pointee.deadline &+ pausedTotal
  }

  /// A connection has come up in the wheel: its deadline has passed by `time`, or has moved away meanwhile.
  @inline(never)
  mutating func expired<K: Kernel & ~Copyable>(_ index: UInt32, by time: UInt64, _ kernel: inout K) {
    let connection = connections[index]
    if connection.pointee.phase == .attached { return attachedExpired(index, by: time, &kernel) }
    guard connection.pointee.deadline != .max else { return }
    guard connection.pointee.deadline <= time else {
      return wheel.arm(index, at: connection.pointee.deadline, connections)
    }
    if connection.pointee.phase != .closing, isStillRead(index, deadline: connection.pointee.deadline, by: time) {
      return wheel.arm(index, at: time, connections)
    }
    switch connection.pointee.phase {
    case .proxy:
      reject(index, .proxyHeader, &kernel)
    case .version:
      reject(index, .handshakeTimeout, &kernel)
    case .key:
      resetHandshake(index, .handshakeTimeout, &kernel)
    case .halfClosed:
      lose(index, &kernel)
    case .closing:
      kernel.reset(connection.pointee.socket)
      drop(index, &kernel)
    case .response, .ping:
      // Abandoned: that counts against nobody's address.
      tell(.handshakeTimeout, connection.pointee.address, &kernel)
      closeGracefully(index, &kernel)
    case .attached, .verifying, .sealing, .opening, .returning, .free, .released:
      break
    }
  }

  /// The client's FIN: it may be a half-close, so it is still written to for a while.
  @inline(never)
  mutating func halfClose<K: Kernel & ~Copyable>(_ index: UInt32, _ kernel: inout K) {
    let connection = connections[index]
    guard !connection.pointee.flags.contains(.wasReset) else { return lose(index, &kernel) }
    admission.leaveAddress(connection.pointee.address, &connection.pointee.standing)
    discardUnfinished(index)
    enter(.halfClosed, index)
    connection.pointee.flags.insert(.finRead)
    sessions[connection.pointee.session].pointee.state = .halfClosed
    setDeadline(index, kernel.now &+ settings.halfCloseTimeout)
  }

  /// The socket is gone. Its session goes stale, with what the socket did not deliver: that is known when a send that
  /// is under way has completed.
  @inline(never)
  mutating func lose<K: Kernel & ~Copyable>(_ index: UInt32, _ kernel: inout K) {
    let connection = connections[index]
    guard connection.pointee.flags.isDisjoint(with: .sending) else {
      connection.pointee.flags.insert(.lost)
      settlingIsAwaited = true
      return
    }
    if connection.pointee.phase == .halfClosed {
      connection.pointee.pending.acknowledge(allBut: kernel.unacknowledged(connection.pointee.socket))
      // They are missed packets now: the socket must not deliver them as well.
      kernel.reset(connection.pointee.socket)
    }
    detach(index, &kernel)
    drop(index, &kernel)
  }

  /// Ends a client for a reason of the relay's or the backend's.
  @inline(never)
  mutating func fail<K: Kernel & ~Copyable>(_ index: UInt32, _ reason: CloseReason, _ kernel: inout K) {
    let slot = connections[index].pointee.session
    if slot != .none { endSession(slot, reason, &kernel) }
    closeGracefully(index, &kernel)
  }

  /// Begins to close a connection as described above. Nothing is taken from the client any more.
  @inline(never)
  mutating func closeGracefully<K: Kernel & ~Copyable>(_ index: UInt32, _ kernel: inout K) {
    let connection = connections[index]
    guard connection.pointee.phase.hasSocket, connection.pointee.phase != .closing else { return }
    admission.leaveAddress(connection.pointee.address, &connection.pointee.standing)
    discardUnfinished(index)
    unlinkAttempt(index)
    connection.pointee.pending.hand(0)
    enter(.closing, index)
    chargeWaiting(index)
    setDeadline(index, kernel.now &+ Limits.closeTimeout)
    // What came before the decision is still unread: discard it, or the close would reset.
    markReady(index)
    finishIfFlushed(index, &kernel)
  }

  /// Sends the FIN of a closing connection once nothing is left to send, and closes it once both FINs have passed.
  @inline(__always)
  mutating func finishIfFlushed<K: Kernel & ~Copyable>(_ index: UInt32, _ kernel: inout K) {
    if connections[index].pointee.phase == .closing { finishClosing(index, &kernel) }
  }

  @inline(never)
  private mutating func finishClosing<K: Kernel & ~Copyable>(_ index: UInt32, _ kernel: inout K) {
    let connection = connections[index]
    guard connection.pointee.pending.unsentCount == 0, connection.pointee.inboxCount == 0,
      connection.pointee.flags.isDisjoint(with: [.sending, .dirty])
    else {
      settlingIsAwaited = true
      return
    }
    if !connection.pointee.flags.contains(.finSent) {
      connection.pointee.flags.insert(.finSent)
      kernel.shutdownSending(connection.pointee.socket)
    }
    if connection.pointee.flags.contains(.finRead) { drop(index, &kernel) }
  }

  /// Reads a closing connection to nowhere. Returns the bytes.
  @inline(never)
  mutating func discardInput<K: Kernel & ~Copyable>(_ index: UInt32, _ kernel: inout K) -> Int {
    let connection = connections[index]
    let received = kernel.receive(connection.pointee.socket, readBuffer.start, readBuffer.capacity)
    if received > 0 {
      markReady(index)
      return received
    }
    if received == 0 {
      connection.pointee.flags.insert(.finRead)
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
  mutating func closeSockets<K: Kernel & ~Copyable>(_ kernel: inout K) {
    stopAccepting(&kernel)
    drain = .handedOver
    for index in 0..<connections.used { drop(index, &kernel) }
  }

  /// Closes the socket at once and frees what the connection holds. Its session must have been ended.
  @inline(never)
  mutating func drop<K: Kernel & ~Copyable>(_ index: UInt32, _ kernel: inout K) {
    let connection = connections[index]
    guard connection.pointee.phase.hasSocket else { return }
    let socket = connection.pointee.socket
    unlinkAttempt(index)
    release(index, &kernel)
    kernel.submit(.close(socket), Token(.none))
  }

  /// Frees what the connection holds, but leaves the socket open. The polls hold it open too: they have to go before
  /// its close.
  mutating func release<K: Kernel & ~Copyable>(_ index: UInt32, _ kernel: inout K) {
    let connection = connections[index]
    kernel.submit(.cancel(connections.token(.clientReadable, index)), Token(.none))
    if connection.pointee.flags.contains(.waitsForRoom) {
      kernel.submit(.cancel(connections.token(.clientWritable, index)), Token(.none))
    }
    admission.leave(connection.pointee.address, &connection.pointee.standing)
    discardUnfinished(index)
    connection.pointee.pending.clear()
    connection.pointee.kernelMemory = 0
    connection.pointee.inboxCount = 0
    wheel.unlink(index, connections)
    enter(.released, index)
    chargeWaiting(index)
    connections.settle(index)
  }
}
