import Glibc

/// Getting in: a socket becomes a connection.
extension Shard {
  @inline(never)
  mutating func armListeners<K: Kernel & ~Copyable>(_ kernel: inout K) {
    for listener in 0..<listeners.count where !listeners[listener].armed {
      listeners[listener].armed = true
      kernel.submit(.accept(listener: listeners[listener].socket), Token(.accept, index: UInt32(listener)))
    }
  }

  @inline(never)
  mutating func accepted<K: Kernel & ~Copyable>(_ completion: Completion, _ kernel: inout K) {
    guard case .no = drain else {
      // Accepted before the listeners were closed.
      if completion.result >= 0 { refuse(completion.result, &kernel) }
      return
    }
    let listener = Int(completion.token.index)
    if !completion.more { listeners[listener].armed = false }
    if completion.result >= firstReservedDescriptor {
      refuse(completion.result, &kernel)
      if completion.more { kernel.submit(.cancel(completion.token), Token(.none)) }
      if acceptResumes == .max { pauseAccepting(EMFILE, &kernel) }
      return
    } else if completion.result >= 0 {
      admit(completion.result, &kernel)
      acceptPause = Limits.acceptPauseFirst
    } else if completion.result != -ECANCELED {
      pauseAccepting(-completion.result, &kernel)
      return
    }
    if !completion.more, acceptResumes == .max { armListeners(&kernel) }
  }

  private mutating func admit<K: Kernel & ~Copyable>(_ socket: Int32, _ kernel: inout K) {
    guard !backendStatus.refusesClients, let index = connections.add(socket) else { return refuse(socket, &kernel) }
    counters.add(.clientsAccepted)
    setDeadline(index, kernel.now &+ Limits.handshakeTimeout)
    kernel.submit(.pollReadable(socket), connections.token(.clientReadable, index))
  }

  private mutating func refuse<K: Kernel & ~Copyable>(_ socket: Int32, _ kernel: inout K) {
    counters.add(.clientsRefused)
    kernel.submit(.close(socket), Token(.none))
  }

  /// At the limit of descriptors accepting would fail again at once, or take those that are kept for the backend: it
  /// pauses, longer each time, and neither spins nor floods the log. A client that gave up before it was accepted costs
  /// nothing but a new try.
  private mutating func pauseAccepting<K: Kernel & ~Copyable>(_ error: Int32, _ kernel: inout K) {
    if error == ECONNABORTED || error == EINTR || error == EAGAIN {
      armListeners(&kernel)
      return
    }
    if acceptPause == Limits.acceptPauseFirst || acceptPause == Limits.acceptPauseLast {
      events.post(.acceptPaused(errno: error), &kernel)
    }
    counters.add(.acceptPauses)
    acceptResumes = kernel.now &+ acceptPause
    acceptPause = min(2 &* acceptPause, Limits.acceptPauseLast)
  }

  /// Closes the listeners; what was accepted stays.
  @inline(never)
  mutating func stopAccepting<K: Kernel & ~Copyable>(_ kernel: inout K) {
    acceptResumes = .max
    for index in 0..<listeners.count {
      if listeners[index].armed { kernel.submit(.cancel(Token(.accept, index: UInt32(index))), Token(.none)) }
      listeners[index].armed = false
      if !listeners[index].isShared { kernel.submit(.close(listeners[index].socket), Token(.none)) }
    }
    listeners = FixedArray()
  }
}
