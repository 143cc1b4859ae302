import VoltlaneWire

/// Sockets that other shards hand over: those of clients that want a session of this shard back, and new ones of a
/// queue from which all shards accept.
extension Shard where K: ~Copyable {
  /// Adopts all sockets that other shards have handed over. While the workers are busy, they are parked together with
  /// this shard's own.
  @inline(never)
  mutating func adoptSockets(_ kernel: inout K) {
    for peer in 0..<peers.count {
      while let socket = peers.takeSocket(from: peer) { adopt(socket, &kernel) }
    }
  }

  private mutating func adopt(_ handed: HandedSocket, _ kernel: inout K) {
    guard let id = handed.id else {
      // As one that this shard has accepted.
      if case .no = drain { return admit(handed.socket, &kernel) }
      return kernel.submit(.close(handed.socket), Token(.none))
    }
    guard case .no = drain, let index = connections.add(handed.socket, at: kernel.now) else {
      if handed.pending.isEmpty { beginChallenge(handed.socket, &kernel) }
      kernel.reset(handed.socket)
      kernel.submit(.close(handed.socket), Token(.none))
      handed.early?.free(unfinished.budget)
      var (pending, standing) = (handed.pending, handed.standing)
      admission.countOut(handed.address, &standing)
      return pending.clear()
    }
    beginWatch(kernel)
    enter(.key, index)
    connections[index].address = handed.address
    connections[index].standing = handed.standing
    if settings.tellsAddresses { connections.origins[index] = handed.origin }
    admission.countHandshakeIn(index, connections)
    connections[index].unfinished = handed.early
    unfinished.update(index, connections.slots)
    setDeadline(index, kernel.now.adding(handed.timeLeft))
    kernel.submit(.pollReadable(handed.socket), connections.token(.clientReadable, index))
    connections[index].pending = handed.pending
    memory.charge(index, connections)
    sendPending(index, &kernel)
    guard connections[index].phase == .key else { return }
    if workers.hasRoom {
      reconnect(index, id, &kernel)
    } else {
      guard putBack(id, index) else { return evict(index, over: .systemMemory, &kernel) }
      park(index, .parkedReturning, kernel)
    }
  }

  /// Puts the id that a connection has given back in front of what arrived after it, as if it had not been parsed yet.
  /// False if there is no memory for that.
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
