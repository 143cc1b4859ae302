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
    guard control.accepts else {
      // The kernel refuses whoever connects to a TCP listener that no longer listens. A unix listener goes on, with a
      // file that hardly anybody finds.
      if completion.result >= 0 { kernel.submit(.close(completion.result), Token(.none)) }
      if completion.result < 0, completion.result != -ECANCELED, acceptor.isShared(listener) {
        return pauseAccepting(-completion.result, &kernel)
      }
      guard !completion.more else { return }
      guard acceptor.isShared(listener) else { return acceptor.stop(listener) }
      if !acceptor.isPaused { acceptor.arm(&kernel) }
      return
    }
    if acceptor.isReserved(completion.result) {
      refuse(socket: completion.result, .descriptors, kernel.peerAddress(completion.result).key, &kernel)
      if completion.more { acceptor.stop(listener, &kernel) }
      if !acceptor.isPaused { pauseAccepting(EMFILE, &kernel) }
      return
    } else if completion.result >= 0 {
      if acceptor.isShared(listener), peers.count > 1 {
        distribute(completion.result, &kernel)
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

  /// Gives the clients of a shared queue to the shards in turn, because the kernel would wake the same shard for each
  /// of them. A shard whose lane is full gets none; this shard keeps the client.
  private mutating func distribute(_ socket: Int32, _ kernel: inout K) {
    let shard = Int(admission.shared.turns.add(1) % UInt64(peers.count))
    guard shard != number, peers.hasRoom(shard) else { return admit(socket, &kernel) }
    peers.handOver(HandedSocket(new: socket), to: shard)
  }

  mutating func admit(_ socket: Int32, _ kernel: inout K) {
    let address = kernel.peerAddress(socket)
    guard !backendStatus.refusesClients else { return refuse(socket: socket, .backendLost, address.key, &kernel) }
    guard !memory.gauge.isShort else { return refuse(socket: socket, .memory, address.key, &kernel) }
    let isProxied = admission.limits.trustsAsProxy(address)
    var standing: Standing = []
    // Reasons of its own come first: a connection refused for one of them has taken nothing that all share.
    if !isProxied, let reason = admit(address, &standing, &kernel) {
      if reason.isOfAddress, admission.limits.refusesAll(alike: address, reason) {
        shunIfInsistent(address.key, &kernel)
      }
      return refuse(socket: socket, reason, address.key, &kernel)
    }
    if let reason = admission.lack { evictHandshake(reason, &kernel) }
    let reason = admission.countIn(&standing, now: kernel.machineNow, grace: kernel.grace)
    guard reason == nil, let index = connections.add(socket, at: kernel.now) else {
      admission.countOut(address.key, &standing)
      return refuse(socket: socket, reason ?? .clients, address.key, &kernel)
    }
    connections[index].address = address.key
    connections[index].standing = standing
    if settings.tellsAddresses { connections.origins[index] = ClientOrigin(address, port: kernel.peerPort(socket)) }
    enter(isProxied ? .proxy : .version, index)
    counters.add(.clientsAccepted)
    beginSampling(kernel)
    beginWatch(kernel)
    if acceptor.isDeafToAny { kernel.unburden(socket) }
    setDeadline(index, kernel.now.adding(isProxied ? Limits.proxyTimeout : settings.handshakeTimeout))
    kernel.submit(.pollReadable(socket), connections.token(.clientReadable, index))
  }

  /// Counts a connection by its address. Returns the reason if it is refused.
  mutating func admit(
    _ address: ClientAddress, _ standing: inout Standing, _ kernel: inout K
  ) -> RefusalReason? {
    let reason = admission.admit(address, &standing, now: kernel.machineNow, grace: kernel.grace)
    guard reason == nil, standing.isUncounted else { return reason }
    events.tally(.clientsUncounted, .warning, &kernel)
    return nil
  }

  /// A connection was refused for what its address did: an address that keeps connecting is ignored for a while.
  private mutating func shunIfInsistent(_ address: AddressKey, _ kernel: inout K) {
    guard acceptor.noteRefusal(address, &kernel) else { return }
    events.tally(.addressesShunned, .warning, by: address.bits, &kernel)
  }

  /// Evicts the handshake for which the relay has waited longest, if there is no place for a newcomer: silent
  /// connections, however many, cannot keep newcomers out. First to go are connections that have sent no whole packet;
  /// then those that owe their key or id; then new clients that wait for a worker, because the newcomer may be a client
  /// that comes back, and the workers stay as busy as they are. Last are those that have named a session and have owed
  /// the answer to its challenge for longer than answers take: any number of attempts at one session may go on at once.
  private mutating func evictHandshake(_ reason: RefusalReason, _ kernel: inout K) {
    if let index = queues.silent.first { return refuse(index, reason, &kernel) }
    if let index = queues.halfway.first { return refuse(index, reason, &kernel) }
    guard reason == .handshakes else { return }
    if let index = queues.parkedNew.first { return refuseNewcomer(index, reason, &kernel) }
    if let index = queues.challenged.first, let attempt = connections[index].attempt?.value,
      kernel.now &- attempt.challengedSince >= Limits.challengeKept
    {
      noteRefusal(reason, connections[index].address, &kernel)
      reset(index, &kernel)
    }
  }

  /// At the limit of descriptors, accepting would fail again at once, or take the descriptors that are kept for the
  /// backend. So it pauses, longer each time, and neither spins nor floods the log. A client that gave up before it was
  /// accepted only costs another try.
  private mutating func pauseAccepting(_ error: Int32, _ kernel: inout K) {
    if error == ECONNABORTED || error == EINTR || error == EAGAIN {
      acceptor.arm(&kernel)
      return
    }
    // It had stopped listening, and listens again by now.
    if error == EINVAL { return acceptor.pause(now: kernel.now) }
    // Tallied: a descriptor that becomes free now and then makes the pauses short again, and many.
    events.tally(.acceptPauses, .warning, by: UInt64(clamping: error), &kernel)
    acceptor.pause(now: kernel.now)
  }
}
