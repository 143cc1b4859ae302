import VoltlaneWire

/// A client may come back to any shard: the one that accepted it reads the id and hands the socket to the session's
/// own. The session never moves. A client of a queue that all shards share goes the same way, before anything is read.
extension Shard where K: ~Copyable {
  /// Whether one who wants the session `id` back can be handed to its shard now.
  mutating func hasWay(to id: UInt64) -> Bool {
    let shard = sessions.place(of: id).shard
    return shard == index || shard >= peers.count || peers.hasRoom(shard)
  }

  @inline(never)
  mutating func handOver(
    _ index: UInt32, _ id: UInt64, to shard: Int, _ kernel: inout K
  ) {
    guard peers.hasRoom(shard), case .no = drain else {
      return refuseUnchallenged(index, &kernel)
    }
    admission.giveHandshake(index, connections)
    let early = connections[index].unfinished
    connections[index].unfinished = nil
    unfinished.update(index, connections.slots)
    let handed = HandedSocket(
      socket: connections[index].socket, id: id, timeLeft: timeLeft(index, kernel),
      address: connections[index].address, standing: connections[index].standing, early: early,
      pending: connections[index].pending)
    peers.hand(handed, to: shard)
    connections[index].pending = PendingBytes()
    connections[index].standing = []
    release(index, &kernel)
  }

  /// Takes the sockets that other shards have handed over. All of them: where the workers are full they wait here, with
  /// this shard's own.
  @inline(never)
  mutating func takeHandedSockets(_ kernel: inout K) {
    for peer in 0..<peers.count {
      while let socket = peers.takeSocket(from: peer) { take(socket, &kernel) }
    }
  }

  private mutating func take(_ handed: HandedSocket, _ kernel: inout K) {
    guard let id = handed.id else {
      // As one that this shard has accepted.
      if case .no = drain { return admit(handed.socket, &kernel) }
      return kernel.submit(.close(handed.socket), Token(.none))
    }
    guard case .no = drain, let index = connections.add(handed.socket) else {
      if handed.pending.isEmpty { beginChallenge(handed.socket, &kernel) }
      kernel.reset(handed.socket)
      kernel.submit(.close(handed.socket), Token(.none))
      handed.early?.free(unfinished.budget)
      var (pending, standing) = (handed.pending, handed.standing)
      admission.leave(handed.address, &standing)
      return pending.clear()
    }
    beginWatch(kernel)
    enter(.key, index)
    connections[index].address = handed.address
    connections[index].standing = handed.standing
    admission.takeHandshake(index, connections)
    connections[index].unfinished = handed.early
    unfinished.update(index, connections.slots)
    setDeadline(index, kernel.now.adding(handed.timeLeft))
    kernel.submit(.pollReadable(handed.socket), connections.token(.clientReadable, index))
    connections[index].pending = handed.pending
    memory.charge(index, connections)
    sendPending(index, &kernel)
    guard connections[index].phase == .key else { return }
    if workers.hasRoom {
      comeBack(index, id, &kernel)
    } else {
      guard putBack(id, index) else { return endForWantOfMemory(index, &kernel) }
      awaitWorker(index, .returners, kernel)
    }
  }

  /// Puts the id that a connection has given in front of what came behind it, as if nobody had looked at it yet. False
  /// where there is no memory for that.
  private mutating func putBack(_ id: UInt64, _ index: UInt32) -> Bool {
    let packet = FramedHandshakePacket.clientID(id)
    let early = connections[index].unfinished
    let count = packet.byteCount + (early.map { Int($0.count) } ?? 0)
    guard var buffer = PacketBuffer(copying: gather.place(packet), packet.byteCount, capacity: count, unfinished.budget)
    else {
      return false
    }
    if let early { buffer.append(early.bytes, Int(early.count)) }
    discardUnfinished(index)
    connections[index].unfinished = buffer
    unfinished.update(index, connections.slots)
    connections[index].flags.insert(.keepsPacket)
    return true
  }
}
