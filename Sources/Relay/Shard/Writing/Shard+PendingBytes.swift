import VoltlaneWire

/// What a client's socket did not take at once: it is kept, within limits, and sent when there is room.
extension Shard where K: ~Copyable {
  // MARK: Kept

  /// Keeps a packet that its client cannot be sent now.
  mutating func keep(
    _ packet: ClientPacket, for id: UInt64, at slot: UInt32, _ kernel: inout K
  ) {
    guard let slot = sessions.findLive(id, at: slot) else { return answerUnknown(id) }
    countDown(packet, slot, kernel)
    let index = sessions[slot].connection
    if index == .none {
      keepMissed(slot, packet, &kernel)
    } else if keepPending(index, packet, &kernel), connections[index].phase == .halfClosed {
      sendLater(index)
    }
  }

  /// A half-closed client is sent what was kept for it once a turn, however many packets that is.
  private mutating func sendLater(_ index: UInt32) {
    guard connections[index].flags.isDisjoint(with: .dirty) else { return }
    connections[index].flags.insert(.dirty)
    sends.list.append(index)
  }

  /// Forgets what a half-closed client has acknowledged.
  mutating func acknowledge(_ index: UInt32, _ kernel: inout K) {
    connections[index].pending.acknowledge(allBut: kernel.unacknowledged(connections[index].socket))
    memory.charge(index, connections)
  }

  /// Counts a packet that is kept.
  private func countDown(_ packet: ClientPacket, _ slot: UInt32, _ kernel: borrowing K) {
    counters.add(.packetsDown)
    counters.add(.bytesDown, packet.count &- Wire.sizePrefix)
    let index = sessions[slot].connection
    guard index != .none else { return sessions[slot].kept.addDown(bytes: packet.count &- Wire.sizePrefix) }
    connections[index].traffic.addDown(packets: 1, framedBytes: packet.count)
    connections[index].traffic.noteCarried(at: kernel.now)
  }

  /// The same for a volatile packet: it waits behind others only while they are few, and never ends a session.
  mutating func keepVolatile(
    _ packet: ClientPacket, for id: UInt64, at slot: UInt32, _ kernel: inout K
  ) {
    guard let slot = sessions.findLive(id, at: slot), sessions[slot].connection != .none,
      keepPendingVolatile(sessions[slot].connection, packet, &kernel)
    else { return counters.add(.volatileDropped) }
    countDown(packet, slot, kernel)
    let index = sessions[slot].connection
    if connections[index].phase == .halfClosed { sendLater(index) }
  }

  /// Keeps a volatile packet if less than a quarter of what may wait for its client is waiting, and there is plenty of
  /// memory. False if it is dropped.
  private mutating func keepPendingVolatile(_ index: UInt32, _ packet: ClientPacket, _ kernel: inout K) -> Bool {
    let limit = min((settings.clientSendBuffer &+ 3) / 4, Limits.largestPending)
    if connections[index].pending.count >= limit, connections[index].phase == .halfClosed {
      acknowledge(index, &kernel)
    }
    guard connections[index].pending.count < limit, !memory.gauge.isTight,
      connections[index].pending.append(packet.bytes, packet.count, isVolatile: true)
    else { return false }
    memory.noteVolatile()
    memory.charge(index, connections)
    updateBacklog(index, kernel)
    return true
  }

  /// Keeps one whole packet for which the socket has no room. Over the limit the client is ended. A packet counts its
  /// data and its size prefix, which is what is stored. It is kept while what waits already is below the limit, so one
  /// of legal size always fits. False if the client was ended.
  @discardableResult
  private mutating func keepPending(
    _ index: UInt32, _ packet: ClientPacket, _ kernel: inout K
  ) -> Bool {
    // What was queued before the close was decided is sent, whatever the limit: it is one turn's packets at most.
    let limit = connections[index].phase == .closing ? .max : settings.clientSendBuffer
    if connections[index].pending.limitedCount >= limit, connections[index].phase == .halfClosed {
      acknowledge(index, &kernel)
    }
    guard connections[index].pending.limitedCount < limit, connections[index].pending.count < Limits.largestPending
    else {
      endClient(index, .bufferOverflow, &kernel)
      return false
    }
    guard connections[index].pending.append(packet.bytes, packet.count) else {
      evict(index, over: .systemMemory, &kernel)
      return false
    }
    memory.charge(index, connections)
    updateBacklog(index, kernel)
    // Until now, perhaps, all that waited was volatile.
    if connections[index].flags.contains(.waitsForRoom) { noteStall(index, kernel) }
    return true
  }

  /// The socket took `result` bytes of the `left` runs from `start` on, or failed. A packet that it did not take whole
  /// is kept whole, because on another socket it would have to be sent from its beginning. After the client's FIN
  /// everything is kept until it is acknowledged.
  @inline(never)
  mutating func keepUnsent(
    _ index: UInt32, from start: UInt32, left: UInt32, result: Int, _ kernel: inout K
  ) {
    connections[index].inboxCount = 0
    if result < 0, NoBytes(result) == .broken, !hasMoreToSay(index, result, &kernel) {
      return detachKeeping(index, from: start, left: left, &kernel)
    }
    let keeps = connections[index].phase == .halfClosed
    var taken = max(0, result)
    var position = start
    keeping: for _ in 0..<left {
      let run = downlink.taken(position).pointee
      position = run.next
      let isVolatile = run.kind == .volatile
      var packets = PacketRun(run, in: downlinkMemory)
      while let packet = packets.take() {
        let part = min(taken, packet.count)
        taken &-= part
        if part == packet.count, !keeps { continue }
        if part > 0 {
          // It was sent in part, so the rest is sent whatever the limit.
          guard connections[index].pending.append(packet.bytes, packet.count, isVolatile: isVolatile) else {
            // The client got a part of it, so nothing else can follow.
            guard isVolatile else { return evictWithinPacket(index, over: .systemMemory, &kernel) }
            // Its session waits for it. Where it has sent a FIN, that ends with a reset as well.
            if connections[index].phase != .halfClosed { kernel.reset(connections[index].socket) }
            return detach(index, &kernel)
          }
          if keeps { connections[index].pending.advanceKeeping(part) } else { connections[index].pending.advance(part) }
        } else if isVolatile {
          if !keepPendingVolatile(index, packet, &kernel) { counters.add(.volatileDropped) }
        } else {
          guard keepPending(index, packet, &kernel) else { break keeping }
        }
      }
    }
    memory.charge(index, connections)
    updateBacklog(index, kernel)
    if connections[index].phase.hasSocket, connections[index].pending.unsentCount > 0 { stall(index, &kernel) }
  }

  /// The socket is gone and took nothing of the `left` runs from `start` on: the session keeps them if it waits.
  private mutating func detachKeeping(
    _ index: UInt32, from start: UInt32, left: UInt32, _ kernel: inout K
  ) {
    let slot = connections[index].session
    let id = slot == .none ? 0 : sessions[slot].id
    connections[index].flags.remove(.lost)
    detach(index, &kernel)
    var position = start
    for _ in 0..<left {
      let run = downlink.taken(position).pointee
      position = run.next
      var packets = PacketRun(run, in: downlinkMemory)
      while let packet = packets.take() {
        guard run.kind != .volatile else {
          counters.add(.volatileDropped)
          continue
        }
        guard slot != .none, sessions[slot].state == .stale, sessions[slot].id == id else { return }
        keepMissed(slot, packet, &kernel)
      }
    }
  }

  // MARK: Sent

  /// The socket has no room.
  mutating func stall(_ index: UInt32, _ kernel: inout K) {
    noteStall(index, kernel)
    awaitRoom(index, &kernel)
  }

  private mutating func awaitRoom(_ index: UInt32, _ kernel: inout K) {
    guard connections[index].phase.hasSocket, !connections[index].flags.contains(.waitsForRoom) else { return }
    connections[index].flags.insert(.waitsForRoom)
    // Otherwise it is polled with the rest of what has just moved here.
    guard !connections[index].flags.contains(.unpolled) else { return }
    kernel.submit(.pollWritable(connections[index].socket), connections.token(.clientWritable, index))
  }

  @inline(never)
  mutating func clientWritable(_ completion: Completion, _ kernel: inout K) {
    guard let index = connections.find(completion.token) else { return }
    connections[index].flags.remove(.waitsForRoom)
    sendPending(index, &kernel)
  }

  /// Sends what is pending until the socket takes no more, or this turn's share of pending bytes is used up: then it is
  /// the others' turn.
  mutating func sendPending(_ index: UInt32, _ kernel: inout K) {
    var share = min(sends.pendingShare, Limits.pendingSend)
    while connections[index].pending.unsentCount > 0 {
      guard share > 0 else { return awaitRoom(index, &kernel) }
      let listed = connections[index].pending.listUnsent(gather.vectors, room: Limits.gatherVectors, most: share)
      let sent =
        listed.pieces == 1
        ? kernel.send(connections[index].socket, gather.vectors[0].iov_base, listed.bytes)
        : kernel.send(connections[index].socket, gather.vectors, vectorCount: listed.pieces)
      if sent < 0, NoBytes(sent) == .broken {
        if hasMoreToSay(index, sent, &kernel) { return }
        return detach(index, &kernel)
      }
      if sent > 0 {
        share -= sent
        sends.spend(sent)
        if connections[index].phase == .halfClosed {
          connections[index].pending.advanceKeeping(sent)
        } else {
          connections[index].pending.advance(sent)
        }
        noteProgress(index, kernel)
        memory.charge(index, connections)
        updateBacklog(index, kernel)
      }
      if sent < listed.bytes { return stall(index, &kernel) }
    }
    finishIfFlushed(index, &kernel)
  }
}
