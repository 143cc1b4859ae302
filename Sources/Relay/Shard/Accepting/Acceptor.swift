import Glibc

/// How a shard accepts clients: its listeners, the pauses when descriptors run out, and the addresses that the
/// listeners ignore.
///
/// Invariant: while accepting pauses, `pausedUntil` says until when, and a listener that is not armed stays so; `due`
/// is the first of the times at which there is something to do.
struct Acceptor: ~Copyable {
  struct Listener {
    let socket: Int32
    /// All shards accept from the queue of a unix listener, each by a descriptor of its own.
    let isShared: Bool
    /// The kernel accepts from it.
    fileprivate(set) var isArmed = false
    /// The kernel accepts no more from it, because the relay accepts nobody.
    fileprivate(set) var isStopped = false

    init(socket: Int32, isShared: Bool) {
      self.socket = socket
      self.isShared = isShared
    }
  }

  /// They are the shard's to close.
  var listeners = FixedArray<Listener>()
  /// The first descriptor that no client may have. The kernel gives the lowest that is free, so its number tells how
  /// many are left.
  private let firstReservedDescriptor: Int
  private var nextPause = Limits.acceptPauseFirst
  /// Until when accepting pauses; `.max` while there is none.
  private var pausedUntil: UInt64 = .max
  private var shunned = ShunnedAddresses()
  private(set) var due: UInt64 = .max
  /// Who waits for the completions.
  private var waiter: Token.Waiter
  /// The shard is about to move to another host: nothing is armed here any more.
  private var isLeaving = false

  init(shard: Int, descriptorLimit: Int) {
    waiter = Token.Waiter(shard: shard)
    firstReservedDescriptor = descriptorLimit - Limits.reservedDescriptors
  }

  /// The listeners of a shard whose thread did not start.
  deinit {
    for index in 0..<listeners.count { Glibc.close(listeners[index].socket) }
  }

  var isPaused: Bool { pausedUntil != .max }

  /// Whether any address is not heard.
  var isDeafToAny: Bool { shunned.next != .max }

  /// Whether a socket has one of the descriptors that are kept for the backend.
  func isReserved(_ socket: Int32) -> Bool { Int(socket) >= firstReservedDescriptor }

  func isShared(_ listener: Int) -> Bool { listeners[listener].isShared }

  private mutating func reckonDue() { due = min(pausedUntil, shunned.next) }

  // MARK: Accepting

  /// Has the kernel accept from every listener.
  @inline(never)
  mutating func arm<K: Kernel & ~Copyable>(_ kernel: inout K) {
    guard !isLeaving else { return }
    for listener in 0..<listeners.count where !listeners[listener].isArmed {
      listeners[listener].isArmed = true
      listeners[listener].isStopped = false
      kernel.submit(.accept(listener: listeners[listener].socket), token(listener))
    }
  }

  private func token(_ listener: Int) -> Token {
    Token(.accept, of: waiter, index: UInt32(truncatingIfNeeded: listener))
  }

  /// Has the kernel accept no more from a listener. What it has accepted already still comes.
  func stop<K: Kernel & ~Copyable>(_ listener: Int, _ kernel: inout K) {
    kernel.submit(.cancel(token(listener), of: listeners[listener].socket), Token(.none))
  }

  /// Has the kernel of the present host accept no more. What it has accepted already still comes.
  mutating func leave<K: Kernel & ~Copyable>(_ kernel: inout K) {
    isLeaving = true
    for index in 0..<listeners.count where listeners[index].isArmed { stop(index, &kernel) }
  }

  /// Whether all has come that the kernel of the present host has accepted.
  func hasLeft() -> Bool {
    for index in 0..<listeners.count where listeners[index].isArmed { return false }
    return true
  }

  /// Accepts at another host from now on, unless it pauses.
  mutating func arrive<K: Kernel & ~Copyable>(_ waiter: Token.Waiter, _ kernel: inout K) {
    self.waiter = waiter
    isLeaving = false
    if !isPaused { arm(&kernel) }
  }

  /// The kernel's accept of a listener has ended.
  mutating func disarm(_ listener: Int) { listeners[listener].isArmed = false }

  /// The same, and it stays so until the relay accepts again.
  mutating func stop(_ listener: Int) { listeners[listener].isStopped = true }

  /// A client was accepted: the next pause is a short one.
  mutating func forgetPauses() { nextPause = Limits.acceptPauseFirst }

  /// Accepts nothing for a while, each time for longer.
  mutating func pause(now: UInt64) {
    pausedUntil = now &+ nextPause
    nextPause = min(2 &* nextPause, Limits.acceptPauseLast)
    reckonDue()
  }

  /// Does what is due.
  @inline(never)
  mutating func doChores<K: Kernel & ~Copyable>(_ kernel: inout K) {
    if kernel.now >= pausedUntil {
      pausedUntil = .max
      arm(&kernel)
    }
    if kernel.now >= shunned.next {
      shunned.hear(now: kernel.now)
      _ = shunAtListeners(&kernel)
    }
    reckonDue()
  }

  /// Closes the listeners.
  mutating func close<K: Kernel & ~Copyable>(_ kernel: inout K) {
    pausedUntil = .max
    for index in 0..<listeners.count {
      if listeners[index].isArmed { stop(index, &kernel) }
      kernel.submit(.close(listeners[index].socket), Token(.none))
    }
    listeners = FixedArray()
    reckonDue()
  }

  // MARK: Addresses that are not heard

  /// A connection was refused for what its address did. True if the listeners ignore the address from now on, because
  /// that has happened too often.
  mutating func noteRefusal<K: Kernel & ~Copyable>(_ address: AddressKey, _ kernel: inout K) -> Bool {
    // What arrives at once after a standstill was not sent at once.
    guard address.canBeShunned, kernel.grace == 0, shunned.refused(address, now: kernel.now) else { return false }
    defer { reckonDue() }
    return shunAtListeners(&kernel)
  }

  /// Hears every address again as soon as possible: the reasons for which they were refused may no longer hold.
  mutating func forgiveAddresses() {
    shunned.forgive()
    reckonDue()
  }

  /// Tells the listeners which addresses not to hear. False where none of them can do that.
  private mutating func shunAtListeners<K: Kernel & ~Copyable>(_ kernel: inout K) -> Bool {
    var isDone = false
    for index in 0..<listeners.count where !listeners[index].isShared {
      if kernel.shun(shunned.addresses, at: listeners[index].socket) { isDone = true }
    }
    return isDone
  }
}

#if DEBUG
extension Acceptor {
  func checkInvariants() throws(InvariantViolation) {
    try require(due == min(pausedUntil, shunned.next), "the acceptor is due at \(due)")
    for listener in 0..<listeners.count {
      let accepts = isPaused || isLeaving || listeners[listener].isArmed || listeners[listener].isStopped
      try require(accepts, "listener \(listener) accepts nothing without a pause")
    }
  }
}
#endif
