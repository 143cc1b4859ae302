import Glibc

/// The sends of a turn: one for each client with something to send, queued in the kernel or direct.
extension Shard where K: ~Copyable {
  /// Sends to each client of the turn. With few clients a direct call each is cheapest; with many, of however many
  /// shards, the sends are queued and enter the kernel together.
  mutating func sendDirty(_ kernel: inout K) {
    let queues = sends.list.count &+ sends.elsewhere >= Limits.queuedSendsFrom
    var gathered = 0
    for entry in 0..<sends.list.count {
      let index = sends.list[entry]
      let connection = connections.address(index)
      connection.pointee.flags.remove(.dirty)
      guard connection.pointee.phase == .attached else {
        sendToUnattached(index, behind: gathered, &kernel)
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

  /// To a connection that has been let go since it was listed, or is half-closed.
  @inline(never)
  private mutating func sendToUnattached(_ index: UInt32, behind used: Int, _ kernel: inout K) {
    if connections[index].phase == .released {
      connections.freeIfReleased(index)
    } else if connections[index].inboxCount > 0 {
      sendInbox(index, behind: used, &kernel)
    } else {
      if connections[index].phase == .halfClosed { acknowledge(index, &kernel) }
      sendPending(index, &kernel)
    }
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

  /// Releases what the last turn's queued sends pointed to. Sends that did not succeed completely have reported that.
  @inline(__always)
  mutating func settleSends(_ kernel: inout K) {
    if sends.areUnderWay, kernel.hasSettled { settleAll(&kernel) }
  }

  @inline(never)
  private mutating func settleAll(_ kernel: inout K) {
    for entry in 0..<sends.list.count {
      let index = sends.list[entry]
      if connections[index].flags.contains(.sending) {
        sent(index, Int(connections[index].inboxBytes), &kernel)
      }
    }
    sends.settle()
    releaseDownlink(&kernel)
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

  /// Whether a client to which nothing more can be sent has sent something before its FIN that has not been read yet:
  /// its end is found after that. If the client reset the connection, what is unread is lost with it.
  mutating func hasMoreToSay(
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
}
