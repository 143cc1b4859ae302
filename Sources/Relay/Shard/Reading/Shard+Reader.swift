import Glibc
import VoltlaneWire

/// The way up: from clients' sockets into the uplink lane.
///
/// A client that the poll said is readable is read with one large receive into the shard's buffer; its whole packets go
/// into the lane, which is the only copy of them in user space. What is left of a packet at the end goes into a buffer
/// of the client's own, and the next receive fills that buffer first and the shared one behind it, in one call.
extension Shard where K: ~Copyable {
  @inline(__always)
  mutating func clientReadable(_ completion: Completion, _ kernel: inout K) {
    guard let index = connections.find(completion.token) else { return }
    if completion.result < 0 || completion.result & PollBits.hangup != 0 {
      connections[index].flags.insert(.hungUp)
      // A poll that failed says nothing about the client: reads find out.
      let bits = max(completion.result, 0)
      // After the client's FIN a receive no longer shows a reset: the poll does, perhaps together with the FIN.
      if bits & PollBits.reset != 0 {
        if connections[index].phase == .halfClosed { return detach(index, &kernel) }
        connections[index].flags.insert(.wasReset)
      }
      // A unix socket that is closed shows both at once, and no error.
      if completion.result >= 0, completion.result & POLLERR == 0 { connections[index].flags.insert(.finSeen) }
      if connections[index].phase == .attached { noteGone(index) }
    }
    if !completion.more { kernel.submit(.pollReadable(connections[index].socket), completion.token) }
    markReady(index)
  }

  /// Puts a connection on the list of those to be read.
  @inline(__always)
  mutating func markReady(_ index: UInt32) {
    if connections[index].phase == .attached {
      lists.clients.append(index, connections)
    } else {
      lists.others.append(index, connections)
    }
  }

  /// Reads ready connections in the order in which they became ready, one receive each, until the turn's share is used
  /// up. Clients are read only while the uplink has room: the rest stays on the list. Handshakes and closes go on.
  mutating func readClients(_ kernel: inout K) {
    if sessions.firstOwed != nil { sendOwed() }
    if !lists.others.isEmpty { readOthers(&kernel) }
    if readingClock.isStopped, lists.clients.isEmpty || canReadClients() { readingClock.start(at: kernel.now) }
    var share = Limits.readsPerTurn
    var turns = lists.clients.count
    while turns > 0, share > 0, canReadClients() {
      guard let index = lists.clients.popFirst(connections) else { break }
      turns &-= 1
      let received = readPackets(index, &kernel)
      share &-= received
      if settings.pace.isMetered, received > 0 { pace(index, &kernel) }
    }
    if !lists.clients.isEmpty, !canReadClients() {
      if queues.gone.first != nil { detachThoseGone(&kernel) }
      if !readingClock.isStopped {
        readingClock.stop(at: kernel.now)
        hastenSampling(kernel)
      }
    }
  }

  /// Whether a paused client is read nevertheless. While the relay drains, what it had sent is read whatever its rate,
  /// but not where the answers would have no room. After its own end, when nothing more can be sent to it, what it had
  /// sent before is read too.
  private func isReadThoughPaused(_ index: UInt32) -> Bool {
    let flags = connections[index].flags
    if flags.isSuperset(of: [.wasReset, .finSeen]) { return true }
    if case .no = drain { return false }
    return !flags.contains(.backlogged)
  }

  /// Whether the uplink has room for more than what is owed to it.
  @inline(__always)
  private mutating func canReadClients() -> Bool { sessions.firstOwed == nil && hasUplinkRoom() }

  /// The poll said that an attached client sent its FIN, or was reset.
  @inline(never)
  mutating func noteGone(_ index: UInt32) {
    if connections[index].queue == .none { queues.move(index, to: .gone, connections) }
  }

  /// Detaches clients that are gone while they wait for room. Otherwise they would hold their sockets, and their
  /// sessions would not go stale, for as long as the backend takes nothing.
  @inline(never)
  private mutating func detachThoseGone(_ kernel: inout K) {
    while let index = queues.gone.first {
      queues.move(index, to: .none, connections)
      if connections[index].list == .clients { _ = detachIfGone(index, &kernel) }
    }
  }

  /// Detaches or half-closes a client that is gone while it is not read. Returns false if it is not gone. A client that
  /// was reset is detached, and what it sent and the relay did not read is lost, as is usual with a reset in TCP. It is
  /// not detached if its FIN had come before, because the reset then only answered what the relay sent. A client whose
  /// FIN is all that is unread is half-closed. Any other still has something to be read.
  @inline(never)
  private mutating func detachIfGone(_ index: UInt32, _ kernel: inout K) -> Bool {
    guard connections[index].phase == .attached else { return false }
    if connections[index].flags.contains(.wasReset), !connections[index].flags.contains(.finSeen) {
      detach(index, &kernel)
    } else if connections[index].flags.contains(.finSeen), !connections[index].flags.contains(.stashed),
      kernel.unread(connections[index].socket) == 0
    {
      halfClose(index, &kernel)
    } else {
      return false
    }
    return true
  }

  /// Reads connections that shake hands or close. They have a share of their own, so that discarding what closing
  /// connections send does not delay clients' packets.
  @inline(never)
  private mutating func readOthers(_ kernel: inout K) {
    var share = Limits.discardsPerTurn
    var turns = lists.others.count
    while turns > 0, share > 0, let index = lists.others.popFirst(connections) {
      turns &-= 1
      switch connections[index].phase {
      case .version, .key, .response, .ping: readHandshake(index, &kernel)
      case .proxy: readProxyHeader(index, &kernel)
      case .closing: share &-= discardInput(index, &kernel)
      case .verifying, .sealing, .opening, .returning, .attached, .halfClosed, .free, .released: break
      }
    }
  }

  /// One receive of an attached client. Returns the number of bytes.
  @inline(__always)
  private mutating func readPackets(_ index: UInt32, _ kernel: inout K) -> Int {
    let connection = connections.address(index)
    if !connection.pointee.flags.isDisjoint(with: .paused), !isReadThoughPaused(index) {
      _ = detachIfGone(index, &kernel)
      return 0
    }
    if connection.pointee.unfinished != nil { return readOn(index, &kernel) }
    let limit = readLimit()
    let received = kernel.receive(connection.pointee.socket, readBuffer.start, limit)
    guard received > 0 else {
      receivedNothing(index, received, &kernel)
      return 0
    }
    if received == limit || connection.pointee.flags.contains(.hungUp) { markReady(index) }
    // The start of a size prefix that came earlier goes in front of what came now.
    let prefixCount = Int(connection.pointee.prefixCount)
    var start = readBuffer.start
    if prefixCount > 0 {
      start = readBuffer.putInFront(connection.pointee.prefix, prefixCount)
      connection.pointee.prefixCount = 0
    }
    forwardPackets(index, start, received &+ prefixCount, goesOn: prefixCount > 0, &kernel)
    return received
  }

  /// The most that one receive may bring: in the worst case, packets without data, a size prefix becomes one with a tag
  /// in the lane.
  @inline(__always)
  mutating func readLimit() -> Int {
    let room = uplink.room(for: Limits.uplinkLane) &- Limits.uplinkReserve
    return min(settings.pace.readSize, room / Wire.taggedHeader &* Wire.sizePrefix)
  }

  /// Puts the whole packets of `count` bytes at `start` into the lane, and keeps the rest. `goesOn`: the first packet
  /// began with an earlier read, and so did its deadline.
  @inline(__always)
  mutating func forwardPackets(
    _ index: UInt32, _ start: UnsafeMutableRawPointer, _ count: Int, goesOn: Bool, _ kernel: inout K
  ) {
    let connection = connections.address(index)
    let end = UnsafeRawPointer(start + count)
    let taken = uplink.appendAll(
      id: sessions[connection.pointee.session].id, from: start, to: end, maxSize: settings.maxPacketSize)
    if taken.count > 0 {
      sessions[connection.pointee.session].isHeardOf = true
      if goesOn { connection.pointee.deadline = .max }
    }
    let bytes = (taken.end - UnsafeRawPointer(start)) &- taken.count &* Wire.sizePrefix
    connection.pointee.traffic.addUp(packets: taken.count, bytes: bytes)
    connection.pointee.traffic.noteCarried(at: kernel.now)
    counters.add(.packetsUp, taken.count)
    counters.add(.bytesUp, bytes)
    if settings.pace.isMetered { meter(index, packets: taken.count, bytes: bytes) }
    if taken.end != end { keepRest(index, taken.end, end - taken.end, &kernel) }
  }

  /// A receive of an attached client brought no bytes: there are none, the client's FIN, or an error.
  @inline(never)
  mutating func receivedNothing(_ index: UInt32, _ result: Int, _ kernel: inout K) {
    guard result != 0 else {
      guard connections[index].isLetGo else { return halfClose(index, &kernel) }
      return endIfLetGo(index, &kernel)
    }
    switch NoBytes(result) {
    case .wouldBlock:
      connections[index].flags.remove(.hungUp)
      if connections[index].isLetGo { endIfLetGo(index, &kernel) }
    case .later: markReady(index)
    case .broken: detach(index, &kernel)
    }
  }
}
