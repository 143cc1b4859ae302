import Glibc

/// Getting in: a socket becomes a connection.
extension Shard where K: ~Copyable {
  @inline(never)
  mutating func armListeners(_ kernel: inout K) {
    for listener in 0..<listeners.count where !listeners[listener].armed {
      listeners[listener].armed = true
      kernel.submit(.accept(listener: listeners[listener].socket), Token(.accept, index: UInt32(listener)))
    }
  }

  @inline(never)
  mutating func accepted(_ completion: Completion, _ kernel: inout K) {
    guard case .no = drain else {
      // Accepted before the listeners were closed.
      if completion.result >= 0 { kernel.submit(.close(completion.result), Token(.none)) }
      return
    }
    let listener = Int(completion.token.index)
    if !completion.more { listeners[listener].armed = false }
    if completion.result >= firstReservedDescriptor {
      refuse(completion.result, .descriptors, kernel.peerAddress(completion.result).key, &kernel)
      if completion.more { kernel.submit(.cancel(completion.token), Token(.none)) }
      if acceptResumes == .max { pauseAccepting(EMFILE, &kernel) }
      return
    } else if completion.result >= 0 {
      if listeners[listener].isShared, peers.count > 1 {
        spread(completion.result, &kernel)
      } else {
        admit(completion.result, &kernel)
      }
      acceptPause = Limits.acceptPauseFirst
    } else if completion.result != -ECANCELED {
      pauseAccepting(-completion.result, &kernel)
      return
    }
    if !completion.more, acceptResumes == .max { armListeners(&kernel) }
  }

  /// Gives the shards the clients of a shared queue in turn: the kernel would wake the same shard for each of them. One
  /// whose lane is full gets none; this shard keeps it.
  private mutating func spread(_ socket: Int32, _ kernel: inout K) {
    let shard = Int(admission.shared.turns.add(1) % UInt64(peers.count))
    guard shard != index, peers[shard].outgoing.hasRoom() else { return admit(socket, &kernel) }
    peers[shard].outgoing.push(HandedSocket(new: socket))
  }

  mutating func admit(_ socket: Int32, _ kernel: inout K) {
    let address = kernel.peerAddress(socket)
    guard !backendStatus.refusesClients else { return refuse(socket, .backendLost, address.key, &kernel) }
    guard !memory.isShort else { return refuse(socket, .memory, address.key, &kernel) }
    let isProxied = admission.limits.trustsAsProxy(address)
    var standing: Standing = []
    // What it is refused for itself comes first: it takes nothing then of what all share.
    if !isProxied, let reason = admit(address, &standing, &kernel) {
      if reason.isOfAddress, admission.limits.refusesAll(alike: address, reason) { noteRefusal(address.key, &kernel) }
      return refuse(socket, reason, address.key, &kernel)
    }
    if let reason = admission.lack { makeWay(reason, &kernel) }
    let reason = admission.takePlace(&standing, now: kernel.machineNow, grace: kernel.grace)
    guard reason == nil, let index = connections.add(socket) else {
      admission.leave(address.key, &standing)
      return refuse(socket, reason ?? .clients, address.key, &kernel)
    }
    connections[index].address = address.key
    connections[index].standing = standing
    enter(isProxied ? .proxy : .version, index)
    counters.add(.clientsAccepted)
    beginSampling(kernel)
    beginWatch(kernel)
    if shunned.next != .max { kernel.unburden(socket) }
    setDeadline(index, kernel.now.adding(isProxied ? Limits.proxyTimeout : settings.handshakeTimeout))
    kernel.submit(.pollReadable(socket), connections.token(.clientReadable, index))
  }

  /// Counts a connection by its address. The reason where it is not let in.
  mutating func admit(
    _ address: ClientAddress, _ standing: inout Standing, _ kernel: inout K
  ) -> RefusalReason? {
    let reason = admission.admit(address, &standing, now: kernel.machineNow, grace: kernel.grace)
    guard reason == nil, standing.isUncounted else { return reason }
    events.tally(.clientsUncounted, .warning, &kernel)
    return nil
  }

  /// A connection was refused for what its address did: where that goes on and on, it is not heard for a while.
  private mutating func noteRefusal(_ address: AddressKey, _ kernel: inout K) {
    // What came while the shard stood still came at its own pace.
    guard address.canBeShunned, kernel.grace == 0, shunned.refused(address, now: kernel.now),
      shunAtListeners(&kernel)
    else { return }
    events.tally(.addressesShunned, .warning, by: address.bits, &kernel)
  }

  /// Hears those again whose time is over.
  @inline(never)
  mutating func hearShunned(_ kernel: inout K) {
    shunned.hear(now: kernel.now)
    _ = shunAtListeners(&kernel)
  }

  /// Tells the listeners whom not to hear. False where none of them can do that.
  private mutating func shunAtListeners(_ kernel: inout K) -> Bool {
    var isDone = false
    for index in 0..<listeners.count where !listeners[index].isShared {
      if kernel.shun(shunned.addresses, at: listeners[index].socket) { isDone = true }
    }
    return isDone
  }

  /// Where there is no place left, a newcomer takes that of the handshake for which the relay has waited the longest:
  /// connections that say nothing, however many, keep nobody out. First go those of which nothing whole has come;
  /// then those that owe their key or id; then, because the newcomer may be a client that comes back, strangers who
  /// wait for a worker: the workers stay as busy as they are. Last, where nobody else keeps newcomers out, those who
  /// have named a session and owe the answer to its challenge for longer than answers take: any number of attempts at
  /// one session may go on at a time.
  private mutating func makeWay(_ reason: RefusalReason, _ kernel: inout K) {
    if let index = queues.silent.first { return reject(index, reason, &kernel) }
    if let index = queues.halfway.first { return resetHandshake(index, reason, &kernel) }
    guard reason == .handshakes else { return }
    if let index = queues.newcomers.first { return resetNewcomer(index, reason, &kernel) }
    if let index = queues.challenged.first, let attempt = connections[index].attempt?.value,
      kernel.now &- attempt.challengedSince >= Limits.challengeKept
    {
      resetHandshake(index, reason, &kernel)
    }
  }

  /// At the limit of descriptors accepting would fail again at once, or take those that are kept for the backend: it
  /// pauses, longer each time, and neither spins nor floods the log. A client that gave up before it was accepted costs
  /// nothing but a new try.
  private mutating func pauseAccepting(_ error: Int32, _ kernel: inout K) {
    if error == ECONNABORTED || error == EINTR || error == EAGAIN {
      armListeners(&kernel)
      return
    }
    // A descriptor that comes free now and then makes the pauses short again, and many.
    events.tally(.acceptPauses, .warning, by: UInt64(clamping: error), &kernel)
    acceptResumes = kernel.now &+ acceptPause
    acceptPause = min(2 &* acceptPause, Limits.acceptPauseLast)
  }

  /// Closes the listeners; what was accepted stays.
  @inline(never)
  mutating func stopAccepting(_ kernel: inout K) {
    acceptResumes = .max
    for index in 0..<listeners.count {
      if listeners[index].armed { kernel.submit(.cancel(Token(.accept, index: UInt32(index))), Token(.none)) }
      listeners[index].armed = false
      kernel.submit(.close(listeners[index].socket), Token(.none))
    }
    listeners = FixedArray()
  }
}
