import Glibc

/// Getting in: a socket becomes a connection.
extension Shard where K: ~Copyable {
  @inline(never)
  mutating func accepted(_ completion: Completion, _ kernel: inout K) {
    guard case .no = drain else {
      // Accepted before the listeners were closed.
      if completion.result >= 0 { kernel.submit(.close(completion.result), Token(.none)) }
      return
    }
    let listener = Int(completion.token.index)
    if !completion.more { acceptor.disarm(listener) }
    if acceptor.isReserved(completion.result) {
      refuse(completion.result, .descriptors, kernel.peerAddress(completion.result).key, &kernel)
      if completion.more { kernel.submit(.cancel(completion.token), Token(.none)) }
      if !acceptor.isPaused { pauseAccepting(EMFILE, &kernel) }
      return
    } else if completion.result >= 0 {
      if acceptor.isShared(listener), peers.count > 1 {
        spread(completion.result, &kernel)
      } else {
        admit(completion.result, &kernel)
      }
      acceptor.forgetPauses()
    } else if completion.result != -ECANCELED {
      pauseAccepting(-completion.result, &kernel)
      return
    }
    if !completion.more, !acceptor.isPaused { acceptor.arm(&kernel) }
  }

  /// Gives the shards the clients of a shared queue in turn: the kernel would wake the same shard for each of them. One
  /// whose lane is full gets none; this shard keeps it.
  private mutating func spread(_ socket: Int32, _ kernel: inout K) {
    let shard = Int(admission.shared.turns.add(1) % UInt64(peers.count))
    guard shard != index, peers.hasRoom(shard) else { return admit(socket, &kernel) }
    peers.hand(HandedSocket(new: socket), to: shard)
  }

  mutating func admit(_ socket: Int32, _ kernel: inout K) {
    let address = kernel.peerAddress(socket)
    guard !backendStatus.refusesClients else { return refuse(socket, .backendLost, address.key, &kernel) }
    guard !memory.gauge.isShort else { return refuse(socket, .memory, address.key, &kernel) }
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
    if acceptor.isDeafToAny { kernel.unburden(socket) }
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
    guard acceptor.noteRejection(address, &kernel) else { return }
    events.tally(.addressesShunned, .warning, by: address.bits, &kernel)
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
      acceptor.arm(&kernel)
      return
    }
    // A descriptor that comes free now and then makes the pauses short again, and many.
    events.tally(.acceptPauses, .warning, by: UInt64(clamping: error), &kernel)
    acceptor.pause(now: kernel.now)
  }
}
