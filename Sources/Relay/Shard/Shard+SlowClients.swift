/// Clients that take too little of what is sent to them: the time that they have to take something, and the backlog
/// over which they are not read.
extension Shard {
  // MARK: Time

  /// The socket of an attached client is full.
  mutating func becomeSlow<K: Kernel & ~Copyable>(_ index: UInt32, _ kernel: borrowing K) {
    let connection = connections[index]
    guard connection.pointee.phase == .attached, connection.pointee.slowSince == .max else { return }
    beginSlowness(index, since: kernel.now)
  }

  private mutating func beginSlowness(_ index: UInt32, since time: UInt64) {
    connections[index].pointee.slowSince = time
    let deadline = slowDeadline(index)
    if deadline != .max { wheel.arm(index, at: deadline, connections) }
  }

  /// A client's socket took something of what waits for it.
  mutating func tookSome<K: Kernel & ~Copyable>(_ index: UInt32, _ kernel: borrowing K) {
    let connection = connections[index]
    guard connection.pointee.phase == .attached,
      kernel.now >= connection.pointee.slowHolds || connection.pointee.pending.isEmpty
    else { return }
    connection.pointee.slowSince = .max
    connection.pointee.flags.remove(.unreachable)
  }

  /// When a client has to have taken something.
  @inline(__always)
  func slowDeadline(_ index: UInt32) -> UInt64 {
    connections[index].pointee.slowSince.adding(settings.slowClientTimeout)
  }

  /// Ends a client that has taken nothing for too long, though its TCP answers. One that does not answer is not slow
  /// but out of reach: its session waits for it when TCP has given it up. True where it ended.
  @inline(never)
  mutating func endIfSlow<K: Kernel & ~Copyable>(_ index: UInt32, by deadline: UInt64, _ kernel: inout K) -> Bool {
    let connection = connections[index]
    // The kernel tells of room only where there is much.
    sendPending(index, &kernel)
    guard connection.pointee.phase == .attached else { return true }
    guard slowDeadline(index) <= deadline else { return false }
    // In the second half of the time that it had, because in the first it may have acknowledged what was on its way;
    // later, since it was asked about last. The kernel asks a closed window less and less often.
    let wasDeferred = connection.pointee.flags.contains(.unreachable)
    let time = settings.slowClientTimeout
    if kernel.silence(connection.pointee.socket) < (wasDeferred ? time : time / 2) {
      fail(index, .slowClient, &kernel)
      return true
    }
    connection.pointee.flags.insert(.unreachable)
    beginSlowness(index, since: kernel.now)
    return false
  }

  /// How long a client that answers has taken nothing of what waits for it.
  func slowness<K: Kernel & ~Copyable>(_ index: UInt32, _ kernel: inout K) -> UInt64 {
    let connection = connections[index]
    guard connection.pointee.slowSince != .max, !connection.pointee.pending.isEmpty else { return 0 }
    let time = kernel.now &- connection.pointee.slowSince
    return kernel.silence(connection.pointee.socket) <= time / 2 ? time : 0
  }

  /// A client is back that had taken nothing for a `time` on its last connection: that goes on, or it could be slow for
  /// ever by coming back. What the new socket takes at first is what the kernel's buffers hold, whether or not the
  /// client reads.
  mutating func goOnWithSlowness<K: Kernel & ~Copyable>(_ index: UInt32, _ time: UInt64, _ kernel: borrowing K) {
    let connection = connections[index]
    connection.pointee.slowSince = .max
    guard time > 0, !connection.pointee.pending.isEmpty else { return }
    connection.pointee.slowHolds = kernel.now.adding(min(Limits.slownessHeld, settings.slowClientTimeout / 2))
    beginSlowness(index, since: kernel.now - min(kernel.now, time))
  }

  /// Clients have less time than before.
  mutating func judgeSlownessAnew() {
    for index in 0..<connections.used
    where connections[index].pointee.phase == .attached && connections[index].pointee.slowSince != .max {
      beginSlowness(index, since: connections[index].pointee.slowSince)
    }
  }

  // MARK: Backlog

  /// What waits for an attached client has changed. While it is more than half of what may wait, and until it is less
  /// than a quarter, the client is not read: one that sends faster than it takes the answers is slowed down, not ended.
  mutating func heedBacklog<K: Kernel & ~Copyable>(_ index: UInt32, _ kernel: borrowing K) {
    let connection = connections[index]
    guard connection.pointee.phase == .attached else { return }
    let count = connection.pointee.pending.count
    if connection.pointee.flags.contains(.backlogged) {
      guard count == 0 || count < settings.clientSendBuffer / 4 else { return }
      endPause(index, .backlogged, kernel)
    } else if count > settings.clientSendBuffer / 2 {
      beginPause(index, .backlogged, kernel)
    }
  }
}
