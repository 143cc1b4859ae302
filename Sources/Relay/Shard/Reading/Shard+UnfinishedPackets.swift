import VoltlaneWire

/// Packets that a read cut: what has arrived is kept in a buffer of the client's own, and the next receive goes on
/// there.
extension Shard where K: ~Copyable {
  /// Keeps what has arrived of an unfinished packet; ends the client where the packet will be too large.
  @inline(never)
  mutating func keepRest(
    _ index: UInt32, _ rest: UnsafeRawPointer, _ count: Int, _ kernel: inout K
  ) {
    if connections[index].deadline == .max, settings.packetTimeout != .max {
      setDeadline(index, now(kernel) &+ settings.packetTimeout)
    }
    if count < Wire.sizePrefix {
      connections[index].prefixCount = UInt8(count)
      connections[index].prefix = 0
      for offset in 0..<count {
        connections[index].prefix |= UInt32(rest.load(fromByteOffset: offset, as: UInt8.self)) << UInt32(8 * offset)
      }
      return
    }
    let size = Int(UInt32(littleEndian: rest.loadUnaligned(as: UInt32.self)))
    guard size <= settings.maxPacketSize else {
      noteOffence(index, &kernel)
      return endClient(index, .packetTooLarge, &kernel)
    }
    let had = count &- Wire.sizePrefix
    connections[index].declared = UInt32(size)
    connections[index].unfinished = PacketBuffer(
      copying: rest + Wire.sizePrefix, had, capacity: unfinishedCapacity(had: had, of: size), unfinished.budget)
    guard connections[index].unfinished != nil else { return evict(index, over: .systemMemory, &kernel) }
    unfinished.update(index, connections.slots)
    unfinishedGrew(&kernel)
  }

  /// A buffer grows with the bytes that arrived, at most to twice their number: the declared size costs nothing.
  private func unfinishedCapacity(had: Int, of size: Int) -> Int {
    max(1, min(size, max(2 &* had, Limits.firstUnfinishedCapacity)))
  }

  /// Continues an unfinished packet with one receive: what fits goes into its own buffer, and what does not fit, or
  /// follows the packet, goes into the shared one.
  @inline(never)
  mutating func readOn(_ index: UInt32, _ kernel: inout K) -> Int {
    if connections[index].flags.contains(.stashed) {
      forwardStash(index, &kernel)
      return 0
    }
    // The caller has checked that there is one.
    let buffer = connections[index].unfinished.unsafelyUnwrapped
    let missing = Int(connections[index].declared) &- Int(buffer.count)
    let own = min(Int(buffer.capacity) &- Int(buffer.count), missing)
    let shared = readLimit() &- Limits.largestCopied
    let received = kernel.receive(
      connections[index].socket, buffer.end, own, readBuffer.start, shared)
    guard received > 0 else {
      receivedNothing(index, received, &kernel)
      return 0
    }
    if received == own &+ shared || connections[index].flags.contains(.hungUp) { markReady(index) }
    let inOwn = min(received, own)
    connections[index].unfinished?.count &+= UInt32(inOwn)
    // How much of what came into the shared buffer still belongs to the packet.
    let rest = min(received, missing) &- inOwn
    if received >= missing {
      guard finishPacket(index, rest) else {
        evict(index, over: .systemMemory, &kernel)
        return received
      }
      forwardPackets(
        index, readBuffer.start + rest, received &- inOwn &- rest, goesOn: false, &kernel)
    } else if rest > 0 {
      if extendUnfinished(index, rest) { unfinishedGrew(&kernel) } else { evict(index, over: .systemMemory, &kernel) }
    }
    return received
  }

  /// Appends the first `count` bytes of the shared buffer to the unfinished packet, whose buffer grows for them. False
  /// if there is no memory for that.
  private mutating func extendUnfinished(_ index: UInt32, _ count: Int) -> Bool {
    guard var buffer = connections[index].unfinished else { return false }
    let had = Int(buffer.count) &+ count
    guard buffer.grow(to: unfinishedCapacity(had: had, of: Int(connections[index].declared)), unfinished.budget) else {
      return false
    }
    buffer.append(readBuffer.start, count)
    connections[index].unfinished = buffer
    unfinished.update(index, connections.slots)
    return true
  }

  /// The unfinished packet is whole with the first `rest` bytes of the shared buffer: it crosses the lane, copied where
  /// it is small. False where there is no memory for it in one piece.
  private mutating func finishPacket(_ index: UInt32, _ rest: Int) -> Bool {
    let id = sessions[connections[index].session].id
    sessions[connections[index].session].isHeardOf = true
    let size = Int(connections[index].declared)
    if size > Limits.largestCopied, rest > 0, !extendUnfinished(index, rest) { return false }
    guard let buffer = connections[index].unfinished else { return false }
    connections[index].unfinished = nil
    unfinished.update(index, connections.slots)
    connections[index].deadline = .max
    counters.add(.packetsUp)
    counters.add(.bytesUp, size)
    connections[index].traffic.addUp(packets: 1, bytes: size)
    if settings.pace.isMetered { meter(index, packets: 1, bytes: size) }
    if size <= Limits.largestCopied {
      uplink.append(id: id, buffer.bytes, Int(buffer.count), readBuffer.start, rest)
      buffer.free(unfinished.budget)
    } else {
      // It now waits for the backend, which is not the client's fault. The lane's bound only stops the reading of
      // clients, whereas the budget would evict them.
      unfinished.budget.giveBack(Int(buffer.capacity))
      uplink.append(id: id, reference: buffer)
    }
    return true
  }

  /// Passes on the packets that arrived after the client's key.
  private mutating func forwardStash(_ index: UInt32, _ kernel: inout K) {
    connections[index].flags.remove(.stashed)
    let count = restoreKept(index)
    // What is in the socket comes after that.
    markReady(index)
    forwardPackets(index, readBuffer.start, count, goesOn: false, &kernel)
  }

  // MARK: The budget of unfinished packets

  /// Over the budget, the client with the largest unfinished packet is evicted, here or in the shard that has it.
  mutating func unfinishedGrew(_ kernel: inout K) {
    guard let holder = unfinished.shardToEvict() else { return }
    if holder == number {
      evictLargestUnfinished(&kernel)
    } else {
      unfinished.budget.requests.ask(holder)
      peers.wake(holder, &kernel)
    }
  }

  @inline(never)
  mutating func evictLargestUnfinished(_ kernel: inout K) {
    guard unfinished.budget.isExceeded, let largest = unfinished.largest(connections.slots) else { return }
    evict(largest, over: .unfinishedPackets, &kernel)
  }

  /// Moves what is kept of a connection to the start of the read buffer, and returns how many bytes that is.
  mutating func restoreKept(_ index: UInt32) -> Int {
    guard let buffer = connections[index].unfinished else { return 0 }
    readBuffer.start.copyMemory(from: buffer.bytes, byteCount: Int(buffer.count))
    discardUnfinished(index)
    return Int(buffer.count)
  }

  /// Frees an unfinished packet's buffer.
  mutating func discardUnfinished(_ index: UInt32) {
    connections[index].prefixCount = 0
    guard let buffer = connections[index].unfinished else { return }
    connections[index].unfinished = nil
    unfinished.update(index, connections.slots)
    buffer.free(unfinished.budget)
  }
}
