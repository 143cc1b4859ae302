/// Slow clients: how long they may take nothing of what is sent to them, and the backlog above which they are paused.
extension Shard where K: ~Copyable {
  // MARK: Time

  /// The socket of an attached client is full. Where all that waits for it is volatile it owes nothing.
  mutating func noteStall(_ index: UInt32, _ kernel: borrowing K) {
    guard connections[index].phase == .attached, connections[index].slowSince == .max,
      !connections[index].pending.areVolatile
    else { return }
    beginSlowness(index, since: kernel.now)
  }

  private mutating func beginSlowness(_ index: UInt32, since time: UInt64) {
    connections[index].slowSince = time
    let deadline = slowDeadline(index)
    if deadline != .max { wheel.arm(index, at: deadline, connections) }
  }

  /// A client's socket took something of what waits for it.
  mutating func noteProgress(_ index: UInt32, _ kernel: borrowing K) {
    guard connections[index].phase == .attached,
      kernel.now >= connections[index].slowHolds || connections[index].pending.isEmpty
    else { return }
    connections[index].slowSince = .max
    connections[index].flags.remove(.unreachable)
  }

  /// Nothing waits for a client any more that it has to take.
  mutating func endSlownessIfIdle(_ index: UInt32) {
    guard connections[index].pending.isEmpty || connections[index].pending.areVolatile else { return }
    connections[index].slowSince = .max
    connections[index].flags.remove(.unreachable)
  }

  /// By when a client must have taken something.
  @inline(__always)
  func slowDeadline(_ index: UInt32) -> UInt64 {
    connections[index].slowSince.adding(settings.slowClientTimeout)
  }

  /// Ends a client that has taken nothing for too long, though its TCP answers. A client whose TCP does not answer is
  /// not slow but out of reach: its session will wait for it once TCP has given it up. Returns true where it ended.
  @inline(never)
  mutating func endIfSlow(_ index: UInt32, by deadline: UInt64, _ kernel: inout K) -> Bool {
    // The kernel reports room only once there is plenty.
    sendPending(index, &kernel)
    guard connections[index].phase == .attached else { return true }
    endSlownessIfIdle(index)
    guard slowDeadline(index) <= deadline else { return false }
    // In the second half of the time that it had, because in the first it may have acknowledged what was on its way;
    // later, since it was asked about last. The kernel asks a closed window less and less often.
    let wasDeferred = connections[index].flags.contains(.unreachable)
    let time = settings.slowClientTimeout
    if kernel.silence(connections[index].socket) < (wasDeferred ? time : time / 2) {
      endClient(index, .slowClient, &kernel)
      return true
    }
    connections[index].flags.insert(.unreachable)
    beginSlowness(index, since: kernel.now)
    return false
  }

  /// How long a client that answers has taken nothing of what waits for it.
  func slowness(_ index: UInt32, _ kernel: inout K) -> UInt64 {
    guard connections[index].slowSince != .max, !connections[index].pending.isEmpty,
      !connections[index].pending.areVolatile
    else { return 0 }
    let time = kernel.now &- connections[index].slowSince
    return kernel.silence(connections[index].socket) <= time / 2 ? time : 0
  }

  /// A client that had taken nothing for `time` on its last connection is back. Its time continues; otherwise a client
  /// could stay slow for ever by coming back. At first the new socket takes whatever the kernel's buffers hold, whether
  /// or not the client reads.
  mutating func carryOverSlowness(_ index: UInt32, _ time: UInt64, _ kernel: borrowing K) {
    connections[index].slowSince = .max
    guard time > 0, !connections[index].pending.isEmpty else { return }
    connections[index].slowHolds = kernel.now.adding(min(Limits.slownessHeld, settings.slowClientTimeout / 2))
    beginSlowness(index, since: kernel.now - min(kernel.now, time))
  }

  /// The slow client timeout was lowered.
  mutating func rearmSlowness() {
    for index in 0..<connections.used
    where connections[index].phase == .attached && connections[index].slowSince != .max {
      beginSlowness(index, since: connections[index].slowSince)
    }
  }

  // MARK: Backlog

  /// What waits for an attached client has changed. Once that is more than half of what may wait, the client is paused
  /// until it is less than a quarter: a client that sends faster than it takes the answers is throttled, not ended.
  mutating func updateBacklog(_ index: UInt32, _ kernel: borrowing K) {
    guard connections[index].phase == .attached else { return }
    let count = connections[index].pending.count
    if connections[index].flags.contains(.backlogged) {
      guard count == 0 || count < settings.clientSendBuffer / 4 else { return }
      unpause(index, .backlogged, kernel)
    } else if count > settings.clientSendBuffer / 2 {
      pause(index, .backlogged, kernel)
    }
  }
}
