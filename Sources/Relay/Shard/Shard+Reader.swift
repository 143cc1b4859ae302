import Glibc
import VoltlaneWire

/// The way up: from clients' sockets into the uplink lane.
///
/// A client that the poll said is readable is read with one large receive into the shard's buffer; its whole packets go
/// into the lane, which is the only copy of them in user space. What is left of a packet at the end goes into a buffer
/// of the client's own, and the next receive fills that buffer first and the shared one behind it, in one call.
extension Shard {
  @inline(__always)
  mutating func clientReadable<K: Kernel & ~Copyable>(_ completion: Completion, _ kernel: inout K) {
    guard let index = connections.find(completion.token) else { return }
    let connection = connections[index]
    if completion.result < 0 || completion.result & PollBits.hangup != 0 {
      connection.pointee.flags.insert(.hungUp)
      // After the client's FIN a receive shows a reset no more: the poll does, perhaps together with the FIN.
      if completion.result & PollBits.reset != 0 {
        if connection.pointee.phase == .halfClosed { return lose(index, &kernel) }
        connection.pointee.flags.insert(.wasReset)
      }
    }
    if !completion.more { kernel.submit(.pollReadable(connection.pointee.socket), completion.token) }
    markReady(index)
  }

  /// Puts a connection on the list of those to be read.
  @inline(__always)
  mutating func markReady(_ index: UInt32) {
    if connections[index].pointee.phase == .attached {
      ready.append(index, connections)
    } else {
      readyAside.append(index, connections)
    }
  }

  /// Reads ready connections in the order in which they became ready, one receive each, until the turn's share is used
  /// up. Clients are read only while the uplink has room: the rest stays on the list. Handshakes and closes go on.
  mutating func readClients<K: Kernel & ~Copyable>(_ kernel: inout K) {
    takeHandshakeResults(&kernel)
    settleOwed()
    var share = Limits.readsPerTurn
    readAside(&share, &kernel)
    var turns = ready.count
    while turns > 0, share > 0 {
      guard sessions.firstOwed == nil, hasUplinkRoom() else {
        if pausedSince == .max { pausedSince = kernel.now }
        return
      }
      if pausedSince != .max {
        pausedTotal &+= kernel.now &- pausedSince
        pausedSince = .max
      }
      guard let index = ready.popFirst(connections) else { return }
      turns &-= 1
      switch connections[index].pointee.phase {
      case .attached: share &-= readPackets(index, &kernel)
      case .released: connections.settle(index)
      // It began to close while it was on the list.
      case .closing: markReady(index)
      case .version, .key, .verifying, .halfClosed, .free: break
      }
    }
  }

  private mutating func readAside<K: Kernel & ~Copyable>(_ share: inout Int, _ kernel: inout K) {
    var turns = readyAside.count
    while turns > 0, share > 0, let index = readyAside.popFirst(connections) {
      turns &-= 1
      switch connections[index].pointee.phase {
      case .version, .key:
        if hasWorkerRoom() { readHandshake(index, &kernel) } else { waitingForWorker.append(index, connections) }
      case .closing: share &-= discardInput(index, &kernel)
      case .released: connections.settle(index)
      // It became a client while it was on the list.
      case .attached: markReady(index)
      case .verifying, .halfClosed, .free: break
      }
    }
  }

  /// One receive of an attached client. Returns its bytes.
  @inline(__always)
  private mutating func readPackets<K: Kernel & ~Copyable>(_ index: UInt32, _ kernel: inout K) -> Int {
    let connection = connections[index]
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
    takePackets(index, start, received &+ prefixCount, goesOn: prefixCount > 0, &kernel)
    return received
  }

  /// The most that one receive may bring: in the worst case, packets without data, 4 bytes become 13 in the lane.
  @inline(__always)
  private mutating func readLimit() -> Int {
    let room = uplink.room(for: Limits.uplinkLane) &- Limits.uplinkReserve
    return min(readBuffer.capacity, room / 13 &* 4)
  }

  /// Puts the whole packets of `count` bytes at `start` into the lane, and keeps the rest. `goesOn`: the first packet
  /// began with an earlier read, and so did its deadline.
  @inline(__always)
  private mutating func takePackets<K: Kernel & ~Copyable>(
    _ index: UInt32, _ start: UnsafeMutableRawPointer, _ count: Int, goesOn: Bool, _ kernel: inout K
  ) {
    let connection = connections[index]
    let id = sessions[connection.pointee.session].pointee.id
    let end = start + count
    var next = start
    var packets = 0
    while end - next >= Wire.sizePrefix {
      let size = Int(UInt32(littleEndian: next.loadUnaligned(as: UInt32.self)))
      if size > settings.maxPacketSize {
        counters.add(.packetsUp, packets)
        return fail(index, .packetTooLarge, &kernel)
      }
      let data = next + Wire.sizePrefix
      guard end - data >= size else { break }
      uplink.append(id: id, flag: .data, data, size)
      next = data + size
      packets &+= 1
    }
    counters.add(.packetsUp, packets)
    counters.add(.bytesUp, (next - start) &- packets &* Wire.sizePrefix)
    if goesOn, packets > 0 { connection.pointee.deadline = .max }
    if next != end { keepRest(index, next, end - next, &kernel) }
  }

  /// Keeps what came of an unfinished packet.
  @inline(never)
  private mutating func keepRest<K: Kernel & ~Copyable>(
    _ index: UInt32, _ rest: UnsafeMutableRawPointer, _ count: Int, _ kernel: inout K
  ) {
    let connection = connections[index]
    if connection.pointee.deadline == .max { setDeadline(index, now(kernel) &+ settings.packetTimeout) }
    if count < Wire.sizePrefix {
      connection.pointee.prefixCount = UInt8(count)
      connection.pointee.prefix = 0
      for offset in 0..<count {
        connection.pointee.prefix |= UInt32(rest.load(fromByteOffset: offset, as: UInt8.self)) << UInt32(8 * offset)
      }
      return
    }
    let size = Int(UInt32(littleEndian: rest.loadUnaligned(as: UInt32.self)))
    let had = count &- Wire.sizePrefix
    connection.pointee.declared = UInt32(size)
    connection.pointee.unfinished = PacketBuffer(
      copying: rest + Wire.sizePrefix, had, capacity: unfinishedCapacity(had: had, of: size), budget)
    unfinished.add(index, connections)
    unfinishedGrew(&kernel)
  }

  /// A buffer grows with the bytes that came, at most to twice their number: what a packet declares costs nothing.
  private func unfinishedCapacity(had: Int, of size: Int) -> Int {
    max(1, min(size, max(2 &* had, Limits.firstUnfinishedCapacity)))
  }

  /// Goes on with an unfinished packet: into its own buffer, and behind its end into the shared one.
  @inline(never)
  private mutating func readOn<K: Kernel & ~Copyable>(_ index: UInt32, _ kernel: inout K) -> Int {
    let connection = connections[index]
    if connection.pointee.flags.contains(.stashed) {
      takeStash(index, &kernel)
      return 0
    }
    growUnfinished(index, &kernel)
    // Growing can have ended this very client, as the largest.
    guard connection.pointee.phase == .attached, let buffer = connection.pointee.unfinished else { return 0 }
    let declared = Int(connection.pointee.declared)
    let missing = declared &- Int(buffer.count)
    let space = min(Int(buffer.capacity) &- Int(buffer.count), missing)
    var vectors = InlineArray<2, iovec>(repeating: iovec())
    vectors[0] = iovec(iov_base: buffer.bytes + Int(buffer.count), iov_len: space)
    let behind = space == missing ? max(0, readLimit() &- Limits.largestCopied) : 0
    vectors[1] = iovec(iov_base: readBuffer.start, iov_len: behind)
    var span = vectors.mutableSpan
    let received = span.withUnsafeMutableBufferPointer {
      kernel.receive(connection.pointee.socket, $0.baseAddress!, vectorCount: behind > 0 ? 2 : 1)
    }
    guard received > 0 else {
      receivedNothing(index, received, &kernel)
      return 0
    }
    if received == space &+ behind || connection.pointee.flags.contains(.hungUp) { markReady(index) }
    connection.pointee.unfinished!.count &+= UInt32(min(received, space))
    if received >= missing {
      finishPacket(index)
      if received > missing { takePackets(index, readBuffer.start, received &- missing, goesOn: false, &kernel) }
    }
    return received
  }

  private mutating func growUnfinished<K: Kernel & ~Copyable>(_ index: UInt32, _ kernel: inout K) {
    let connection = connections[index]
    let buffer = connection.pointee.unfinished!
    guard buffer.count == buffer.capacity else { return }
    unfinished.remove(index, connections)
    connection.pointee.unfinished!.grow(
      to: unfinishedCapacity(had: Int(buffer.count), of: Int(connection.pointee.declared)), budget)
    unfinished.add(index, connections)
    unfinishedGrew(&kernel)
  }

  /// The unfinished packet is whole: it crosses the lane, copied where it is small.
  private mutating func finishPacket(_ index: UInt32) {
    let connection = connections[index]
    let buffer = connection.pointee.unfinished!
    let id = sessions[connection.pointee.session].pointee.id
    unfinished.remove(index, connections)
    connection.pointee.unfinished = nil
    connection.pointee.deadline = .max
    counters.add(.packetsUp)
    counters.add(.bytesUp, Int(buffer.count))
    if Int(buffer.count) <= Limits.largestCopied {
      uplink.append(id: id, flag: .data, buffer.bytes, Int(buffer.count))
      buffer.free(budget)
    } else {
      // It waits for the backend now, which is no fault of its client: the lane's bound stops the reading of clients,
      // the budget would end them.
      budget.giveBack(Int(buffer.capacity))
      uplink.append(id: id, flag: .data, reference: buffer)
    }
    budget.publishLargest(unfinished.largestClass, of: self.index)
  }

  /// Takes the packets that came behind the client's key.
  private mutating func takeStash<K: Kernel & ~Copyable>(_ index: UInt32, _ kernel: inout K) {
    let connection = connections[index]
    connection.pointee.flags.remove(.stashed)
    let count = recallUnfinished(index)
    // What is in the socket comes after it.
    markReady(index)
    takePackets(index, readBuffer.start, count, goesOn: false, &kernel)
  }

  /// A receive of an attached client brought no bytes: there are none, the client's FIN, or an error.
  @inline(never)
  private mutating func receivedNothing<K: Kernel & ~Copyable>(_ index: UInt32, _ result: Int, _ kernel: inout K) {
    guard result != 0 else { return halfClose(index, &kernel) }
    switch Refusal(result) {
    case .wouldBlock: connections[index].pointee.flags.remove(.hungUp)
    case .later: markReady(index)
    case .broken: lose(index, &kernel)
    }
  }

  // MARK: The budget of unfinished packets

  /// Over the budget the largest unfinished packet ends its client, here or in the shard that has it.
  private mutating func unfinishedGrew<K: Kernel & ~Copyable>(_ kernel: inout K) {
    budget.publishLargest(unfinished.largestClass, of: index)
    guard budget.isExceeded else { return }
    let holder = budget.shardWithLargest()
    if holder == index || budget.largest(of: holder) <= unfinished.largestClass {
      endLargestUnfinished(&kernel)
    } else {
      budget.requestEnd(of: holder)
      if shardBells[holder].takeSleep() { kernel.ring(shardBells[holder]) }
    }
  }

  mutating func endLargestUnfinished<K: Kernel & ~Copyable>(_ kernel: inout K) {
    guard budget.isExceeded, let largest = unfinished.largest(connections) else { return }
    if connections[largest].pointee.session == .none {
      refuseHandshake(largest, &kernel)
    } else {
      events.post(.budgetExceeded(id: sessions[connections[largest].pointee.session].pointee.id), &kernel)
      fail(largest, .memory, &kernel)
    }
  }

  /// Moves what is kept of a connection to the start of the read buffer, and returns how many bytes that is.
  mutating func recallUnfinished(_ index: UInt32) -> Int {
    guard let buffer = connections[index].pointee.unfinished else { return 0 }
    readBuffer.start.copyMemory(from: buffer.bytes, byteCount: Int(buffer.count))
    discardUnfinished(index)
    return Int(buffer.count)
  }

  /// Frees an unfinished packet's buffer.
  mutating func discardUnfinished(_ index: UInt32) {
    let connection = connections[index]
    connection.pointee.prefixCount = 0
    guard let buffer = connection.pointee.unfinished else { return }
    unfinished.remove(index, connections)
    connection.pointee.unfinished = nil
    buffer.free(budget)
    budget.publishLargest(unfinished.largestClass, of: self.index)
  }
}
