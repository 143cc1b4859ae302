import Glibc

/// The way up: many lanes, one send. The bytes are sent straight from the lanes' memory.
extension Firehose where K: ~Copyable {
  /// Sends what the shards have published, in one call, until the socket takes no more.
  @inline(__always)
  mutating func transmit(_ kernel: inout K) {
    guard state == .connected, !waitsForRoom, sendError == 0 else { return }
    // With many lanes looking twice would cost more than it saves.
    if lanes.count == 1, sweep == .none, lanes[0].uplink.isEmpty { return }
    send(&kernel)
  }

  @inline(never)
  private mutating func send(_ kernel: inout K) {
    if sweep != .none, !announce(&kernel) { return }
    let lanesGathered = gatherLanes()
    guard lanesGathered.vectors > 0 else { return }
    let sent =
      lanesGathered.vectors == 1
      ? kernel.send(socket, vectors[0].iov_base, vectors[0].iov_len)
      : kernel.send(socket, vectors, vectorCount: lanesGathered.vectors)
    if sent < 0, NoBytes(sent) == .broken { return sendFailed(Int32(-sent)) }
    advanceLanes(max(0, sent), lanes: lanesGathered.lanes, &kernel)
    sendsToSample &-= 1
    if sendsToSample <= 0 { sampleSend(sent) }
    if sent < lanesGathered.bytes { awaitRoom(&kernel) }
  }

  /// What the backend had sent can still be read; after that the connection counts as lost.
  mutating func sendFailed(_ error: Int32) {
    sendError = error
    readable = true
  }

  mutating func awaitRoom(_ kernel: inout K) {
    waitsForRoom = true
    kernel.submit(.pollWritable(socket), Token(.firehoseWritable, generation: generation))
  }

  /// Fills the vectors from the lanes, starting with `firstLane`: a packet that was sent in part continues before any
  /// other.
  @inline(__always)
  private mutating func gatherLanes() -> (vectors: Int, lanes: Int, bytes: Int) {
    var used = 0
    var bytes = 0
    for step in 0..<lanes.count {
      let room = Limits.uplinkVectors &- used
      guard room >= 2 else { return (used, step, bytes) }
      used &+= lanes[laneIndex(step)].uplink.gather(vectors + used, room: room)
      bytes &+= lanes[laneIndex(step)].uplink.gatheredBytes
    }
    return (used, lanes.count, bytes)
  }

  /// Releases what the socket took, and rings the shards that were waiting for room.
  @inline(__always)
  private mutating func advanceLanes(_ sent: Int, lanes gathered: Int, _ kernel: inout K) {
    var left = sent
    var begun: Int?
    for step in 0..<gathered {
      let lane = laneIndex(step)
      left = lanes[lane].uplink.advance(left)
      if lanes[lane].uplink.sentOfHead > 0 { begun = lane }
      if let time = lanes[lane].uplink.takeSample() { noteSample(time, &kernel) }
      if lanes[lane].uplink.release() { lanes[lane].bell.wake(&kernel) }
    }
    firstLane = begun ?? laneIndex(1)
  }

  @inline(never)
  private mutating func sampleSend(_ sent: Int) {
    guard sent > 0 else { return }
    sendsToSample = Limits.sendsPerSample
    distributions.add(.firehoseSendBytes, UInt64(sent))
  }

  /// Packets that were read at `time` have just been handed to the socket.
  @inline(never)
  private mutating func noteSample(_ time: UInt64, _ kernel: inout K) {
    let now = kernel.moment()
    distributions.add(.uplinkTime, now > time ? now - time : 0)
  }

  mutating func isUplinkEmpty() -> Bool {
    for lane in 0..<lanes.count where !lanes[lane].uplink.isEmpty { return false }
    return true
  }

  /// Discards what the shards have published: it can never be delivered, and they are waiting for room.
  @inline(never)
  mutating func discardUplink(_ kernel: inout K) {
    for lane in 0..<lanes.count {
      lanes[lane].uplink.discard()
      if lanes[lane].uplink.release() { lanes[lane].bell.wake(&kernel) }
    }
  }

  @inline(__always)
  private func laneIndex(_ step: Int) -> Int {
    let index = firstLane &+ step
    return index >= lanes.count ? index &- lanes.count : index
  }
}
