import Glibc
import VoltlaneWire

/// The way down: from the downlink lane into clients' sockets.
///
/// A turn's packets are first sorted by client: each connection gets a list through the descriptors. Then every client
/// with something to send gets one send: a lone packet from where the backend's bytes were received, several small ones
/// put together. What a socket does not take moves into the client's own bounded memory, so that a client that does not
/// read delays neither the lane nor other clients.
extension Shard where K: ~Copyable {
  /// Takes a turn's packets from the firehose and sends them. Waits, without blocking, for the last turn's queued
  /// sends: they point into the memory that the lane gives back afterwards.
  mutating func deliver(_ kernel: inout K) {
    guard !sends.areUnderWay else { return }
    var share = Limits.gather
    while share > 0, downlink.available() > 0 {
      sortPackets(&share, at: kernel.now)
      if share > 0, downlink.cursorHolds { deliverUnusual(&share, &kernel) }
    }
    if sends.list.count > 0 { sendDirty(&kernel) }
    if !sends.areUnderWay { releaseDownlink(&kernel) }
  }

  /// Releases what the last turn's queued sends pointed to. Sends that did not succeed completely have reported that.
  mutating func settleSends(_ kernel: inout K) {
    guard sends.areUnderWay, kernel.hasSettled else { return }
    for entry in 0..<sends.list.count {
      let index = sends.list[entry]
      if connections[index].flags.contains(.sending) {
        sent(index, Int(connections[index].inboxBytes), &kernel)
      }
    }
    sends.settle()
    releaseDownlink(&kernel)
  }

  /// Adds packets to their connections' lists, up to one that needs more than that. This loop is a function of its own,
  /// so that rare cases take no registers from it.
  @inline(never)
  private mutating func sortPackets(_ share: inout Int, at now: UInt64) {
    let start = UInt32(truncatingIfNeeded: downlink.cursor)
    let available = downlink.available()
    var left = share
    var runs = 0
    var packets = 0
    while left > 0, runs < available {
      let position = start &+ UInt32(truncatingIfNeeded: runs)
      let descriptor = downlink.taken(position).pointee
      guard descriptor.isPackets, let slot = sessions.find(descriptor.clientID, at: descriptor.slot) else { break }
      let index = sessions[slot].connection
      // By its address, found once: the compiler cannot know that writing to the slot does not move the table.
      let connection = connections.address(index)
      guard connection.pointee.pending.isEmpty else { break }
      if connection.pointee.inboxCount == 0 {
        connection.pointee.inboxFirst = position
        connection.pointee.inboxBytes = 0
        connection.pointee.flags.insert(.dirty)
        connection.pointee.traffic.noteCarried(at: now)
        sends.list.append(index)
      } else {
        downlink.taken(connection.pointee.inboxLast).pointee.next = position
      }
      connection.pointee.inboxLast = position
      connection.pointee.inboxCount &+= 1
      connection.pointee.inboxBytes &+= UInt32(truncatingIfNeeded: descriptor.byteCount)
      connection.pointee.traffic.addDown(packets: Int(descriptor.packetCount), framedBytes: descriptor.byteCount)
      left &-= descriptor.byteCount
      runs &+= 1
      packets &+= Int(descriptor.packetCount)
    }
    downlink.skip(runs)
    counters.add(.packetsDown, packets)
    counters.add(.bytesDown, share &- left &- Wire.sizePrefix &* packets)
    share = left
  }

  /// Takes a packet that goes into no list: one that ends a session, one for an id that is not a session, one for a
  /// stale session, or one for a client whose socket has not taken the last ones yet, behind which it is kept.
  @inline(never)
  private mutating func deliverUnusual(_ share: inout Int, _ kernel: inout K) {
    let descriptor = downlink.take()
    share &-= descriptor.byteCount
    switch descriptor.kind {
    case .kick:
      guard let slot = sessions.findLive(descriptor.clientID, at: descriptor.slot) else {
        return answerUnknown(descriptor.clientID)
      }
      endSession(slot, .kicked, &kernel)
    case .refused:
      guard let slot = sessions.findLive(descriptor.clientID, at: descriptor.slot) else { return }
      endSession(slot, .backendRefusedPacket, &kernel)
    case .data:
      var packets = PacketRun(descriptor, in: downlinkMemory)
      // Looked up for each packet, because the last one may have ended the session.
      while let packet = packets.take() {
        keep(packet, for: descriptor.clientID, at: descriptor.slot, &kernel)
      }
    case .volatile:
      var packets = PacketRun(descriptor, in: downlinkMemory)
      while let packet = packets.take() {
        keepVolatile(packet, for: descriptor.clientID, at: descriptor.slot, &kernel)
      }
    }
  }

  /// Keeps a packet that its client cannot be sent now.
  private mutating func keep(
    _ packet: ClientPacket, for id: UInt64, at slot: UInt32, _ kernel: inout K
  ) {
    guard let slot = sessions.findLive(id, at: slot) else { return answerUnknown(id) }
    countDown(packet, slot, kernel)
    let index = sessions[slot].connection
    if index == .none {
      keepMissed(slot, packet, &kernel)
    } else if keepPending(index, packet, &kernel), connections[index].phase == .halfClosed {
      sendPending(index, &kernel)
    }
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
  private mutating func keepVolatile(
    _ packet: ClientPacket, for id: UInt64, at slot: UInt32, _ kernel: inout K
  ) {
    guard let slot = sessions.findLive(id, at: slot), sessions[slot].connection != .none,
      keepPendingVolatile(sessions[slot].connection, packet, &kernel)
    else { return counters.add(.volatileDropped) }
    countDown(packet, slot, kernel)
    let index = sessions[slot].connection
    if connections[index].phase == .halfClosed { sendPending(index, &kernel) }
  }

  /// Keeps a volatile packet if less than a quarter of what may wait for its client is waiting. False if it is dropped.
  private mutating func keepPendingVolatile(_ index: UInt32, _ packet: ClientPacket, _ kernel: inout K) -> Bool {
    if connections[index].phase == .halfClosed {
      connections[index].pending.acknowledge(allBut: kernel.unacknowledged(connections[index].socket))
    }
    let waiting = connections[index].pending.count
    guard waiting < (settings.clientSendBuffer &+ 3) / 4, waiting < Limits.largestPending,
      connections[index].pending.append(packet.bytes, packet.count, isVolatile: true)
    else { return false }
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
    if connections[index].phase == .halfClosed {
      connections[index].pending.acknowledge(allBut: kernel.unacknowledged(connections[index].socket))
    }
    // What was queued before the close was decided is sent, whatever the limit: it is one turn's packets at most.
    let limit = connections[index].phase == .closing ? .max : settings.clientSendBuffer
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
    return true
  }

  // MARK: Sending

  /// Sends to each client of the turn. With few clients a direct call each is cheapest; with many the sends are queued
  /// and enter the kernel together.
  private mutating func sendDirty(_ kernel: inout K) {
    let queues = sends.list.count >= Limits.queuedSendsFrom
    var gathered = 0
    for entry in 0..<sends.list.count {
      let index = sends.list[entry]
      let connection = connections.address(index)
      connection.pointee.flags.remove(.dirty)
      guard connection.pointee.phase != .released else {
        connections.freeIfReleased(index)
        continue
      }
      let count = Int(connection.pointee.inboxBytes)
      if queues, connection.pointee.inboxCount == 1 {
        let descriptor = downlink.taken(connection.pointee.inboxFirst)
        queueSend(index, downlinkMemory[descriptor.pointee.position], count, &kernel)
      } else if queues, count <= gather.capacity &- gathered, averagesSmall(connection.pointee) {
        let bytes = gather.start + gathered
        gather.copy(downlink, downlinkMemory, connection.pointee.inboxFirst, connection.pointee.inboxCount, to: bytes)
        gathered &+= count
        queueSend(index, bytes, count, &kernel)
      } else {
        sendInbox(index, behind: gathered, &kernel)
      }
    }
    if !sends.areUnderWay { sends.list.removeAll() }
  }

  @inline(__always)
  private func averagesSmall(_ connection: Connection) -> Bool {
    connection.inboxBytes <= connection.inboxCount &* UInt32(Limits.largestGathered)
  }

  @inline(__always)
  private mutating func queueSend(
    _ index: UInt32, _ bytes: UnsafeRawPointer, _ count: Int, _ kernel: inout K
  ) {
    connections[index].flags.insert(.sending)
    sends.queued()
    kernel.submit(
      .send(connections[index].socket, bytes, count: count), connections.token(.clientSent, index))
  }

  /// Sends a connection's list directly, in as few calls as possible: runs of small packets are joined, large ones are
  /// sent from where they are. `used` bytes of the gather buffer belong to queued sends.
  private mutating func sendInbox(_ index: UInt32, behind used: Int, _ kernel: inout K) {
    let socket = connections[index].socket
    var position = connections[index].inboxFirst
    var left = connections[index].inboxCount
    while left > 0 {
      let start = position
      let startLeft = left
      let count = gather.collect(downlink, downlinkMemory, &position, &left, behind: used)
      let sent =
        gather.vectorCount == 1
        ? kernel.send(socket, gather.vectors[0].iov_base, count)
        : kernel.send(socket, gather.vectors, vectorCount: gather.vectorCount)
      if sent != count {
        return keepUnsent(index, from: start, left: startLeft, result: sent, &kernel)
      }
    }
    connections[index].inboxCount = 0
    finishIfFlushed(index, &kernel)
  }

  /// A queued send that the socket did not take whole. The connection's slot is held while a send is under way, even
  /// when the connection is gone.
  @inline(__always)
  mutating func clientSent(_ completion: Completion, _ kernel: inout K) {
    sent(completion.token.index, Int(completion.result), &kernel)
  }

  @inline(__always)
  private mutating func sent(_ index: UInt32, _ result: Int, _ kernel: inout K) {
    let connection = connections.address(index)
    connection.pointee.flags.remove(.sending)
    if result == Int(connection.pointee.inboxBytes), connection.pointee.phase == .attached,
      !connection.pointee.flags.contains(.lost)
    {
      connection.pointee.inboxCount = 0
    } else {
      sentOtherwise(index, result, &kernel)
    }
  }

  /// A queued send did not succeed completely, or its connection is no longer just attached.
  @inline(never)
  private mutating func sentOtherwise(_ index: UInt32, _ result: Int, _ kernel: inout K) {
    guard connections[index].phase != .released else { return connections.freeIfReleased(index) }
    if result == Int(connections[index].inboxBytes), connections[index].phase != .halfClosed {
      connections[index].inboxCount = 0
    } else {
      keepUnsent(
        index, from: connections[index].inboxFirst, left: connections[index].inboxCount, result: result, &kernel)
    }
    guard connections[index].phase.hasSocket else { return }
    if connections[index].flags.contains(.lost) { return detach(index, &kernel) }
    finishIfFlushed(index, &kernel)
  }

  /// The socket took `result` bytes of the `left` runs from `start` on, or failed. A packet that it did not take whole
  /// is kept whole, because on another socket it would have to be sent from its beginning. After the client's FIN
  /// everything is kept until it is acknowledged.
  @inline(never)
  private mutating func keepUnsent(
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

  /// Whether a client to which nothing more can be sent has sent something before its FIN that has not been read yet:
  /// its end is found after that. If the client reset the connection, what is unread is lost with it.
  private mutating func hasMoreToSay(
    _ index: UInt32, _ result: Int, _ kernel: inout K
  ) -> Bool {
    guard result == -Int(EPIPE) else { return false }
    switch connections[index].phase {
    case .attached:
      let hasMore = connections[index].flags.contains(.stashed) || kernel.unread(connections[index].socket) > 0
      guard hasMore else { return false }
    // What the handshake has yet to send cannot be delivered.
    case .key, .verifying, .sealing, .response, .opening, .ping, .returning:
      connections[index].pending.clear()
      memory.charge(index, connections)
    case .free, .proxy, .version, .halfClosed, .closing, .released: return false
    }
    connections[index].flags.formUnion([.hungUp, .wasReset, .finSeen])
    if connections[index].phase == .attached { noteGone(index) }
    markReady(index)
    return true
  }

  /// Sends a few bytes of the handshake directly. False when the connection turned out to be gone.
  mutating func sendNow(
    _ index: UInt32, _ packet: UnsafeRawPointer, _ count: Int, _ kernel: inout K
  ) -> Bool {
    var sent = 0
    if connections[index].pending.isEmpty {
      sent = kernel.send(connections[index].socket, packet, count)
      if sent == count { return true }
      if sent < 0 {
        if NoBytes(sent) == .broken {
          // It cannot be delivered. What the client said before its FIN is still to be read.
          if sent == -Int(EPIPE) { return true }
          detach(index, &kernel)
          return false
        }
        sent = 0
      }
    }
    guard connections[index].pending.append(own: packet, count) else {
      // Not a FIN: in the place of a challenge it says that the session is over.
      kernel.reset(connections[index].socket)
      detach(index, &kernel)
      return false
    }
    connections[index].pending.advance(sent)
    memory.charge(index, connections)
    stall(index, &kernel)
    return true
  }

  // MARK: Pending bytes

  /// The socket has no room.
  private mutating func stall(_ index: UInt32, _ kernel: inout K) {
    noteStall(index, kernel)
    awaitRoom(index, &kernel)
  }

  private mutating func awaitRoom(_ index: UInt32, _ kernel: inout K) {
    guard connections[index].phase.hasSocket, !connections[index].flags.contains(.waitsForRoom) else { return }
    connections[index].flags.insert(.waitsForRoom)
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
        sends.pendingShare -= sent
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

  /// Releases the lane's records that have been sent or kept.
  private mutating func releaseDownlink(_ kernel: inout K) {
    if downlink.release(), firehoseBell.takeSleep() { kernel.ring(firehoseBell) }
  }
}
