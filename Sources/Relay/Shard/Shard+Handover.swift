/// A client may come back to any shard: the one that accepted it reads the id and hands the socket to the session's
/// own. The session never moves.
extension Shard {
  @inline(never)
  mutating func handOver<K: Kernel & ~Copyable>(
    _ index: UInt32, _ id: UInt64, to shard: Int, _ kernel: inout K
  ) {
    let connection = connections[index]
    guard peers[shard].outgoing.hasRoom(), case .no = drain else {
      return refuseUnchallenged(index, &kernel)
    }
    let early = connection.pointee.unfinished
    connection.pointee.unfinished = nil
    unfinished.update(index, connections.slots)
    peers[shard].outgoing.push(
      HandedSocket(
        socket: connection.pointee.socket, id: id, deadline: connection.pointee.deadline, early: early,
        pending: connection.pointee.pending))
    connection.pointee.pending = PendingBytes()
    release(index, &kernel)
  }

  /// Takes the sockets that other shards have handed over.
  @inline(never)
  mutating func takeHandedSockets<K: Kernel & ~Copyable>(_ kernel: inout K) {
    for peer in 0..<peers.count where peer != index {
      while peers[peer].incoming.available() > 0 {
        take(peers[peer].incoming.take(), &kernel)
      }
      _ = peers[peer].incoming.release()
    }
  }

  private mutating func take<K: Kernel & ~Copyable>(_ handed: HandedSocket, _ kernel: inout K) {
    guard case .no = drain, let index = connections.add(handed.socket) else {
      kernel.reset(handed.socket)
      kernel.submit(.close(handed.socket), Token(.none))
      handed.early?.free(budget)
      var pending = handed.pending
      return pending.clear()
    }
    let connection = connections[index]
    connection.pointee.phase = .key
    connection.pointee.unfinished = handed.early
    unfinished.update(index, connections.slots)
    setDeadline(index, handed.deadline)
    kernel.submit(.pollReadable(handed.socket), connections.token(.clientReadable, index))
    connection.pointee.pending = handed.pending
    sendPending(index, &kernel)
    if connection.pointee.phase == .key { comeBack(index, handed.id, &kernel) }
  }
}
