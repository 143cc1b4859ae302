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

  /// Releases the lane's records that have been sent or kept.
  mutating func releaseDownlink(_ kernel: inout K) {
    if downlink.release() { firehoseBell.wake(&kernel) }
  }
}
