import Glibc
import VoltlaneWire

/// The way down. The backend's socket is read in large pieces, and packets are cut where they lie; what crosses to the
/// shards is a descriptor. A client that does not read never holds this up, because the shards take everything.
extension Firehose where K: ~Copyable {
  /// Reads the backend once, and passes what arrived on to the shards.
  @inline(__always)
  mutating func receive(_ kernel: inout K) {
    guard state == .connected else { return receiveUnconnected(&kernel) }
    if readable || stalledLane != nil || sendError != 0 { receiveConnected(&kernel) }
  }

  @inline(never)
  private mutating func receiveConnected(_ kernel: inout K) {
    if stalledLane != nil {
      guard cutPackets(&kernel) else { return }
    }
    guard canReceive(), receiveOnce(&kernel) else { return }
    hasSpoken = true
    _ = cutPackets(&kernel)
  }

  @inline(never)
  private mutating func receiveUnconnected(_ kernel: inout K) {
    guard readable else { return }
    switch state {
    case .proving: prove(&kernel)
    case .finishing: discardInput(&kernel)
    case .idle, .resolving, .dialing, .waiting, .connected, .done: break
    }
  }

  /// Reads once. False if nothing arrived, in which case the connection may be lost.
  @inline(__always)
  mutating func receiveOnce(_ kernel: inout K) -> Bool {
    rewind()
    let count = min(Limits.downlinkRead, memory.capacity &- Int(read &- oldestHeld()))
    let received = kernel.receive(socket, memory[read], count)
    guard received > 0 else {
      receivedNothing(received, &kernel)
      return false
    }
    if received < count, sendError == 0, !hungUp { readable = false }
    read &+= UInt64(received)
    return true
  }

  @inline(never)
  private mutating func receivedNothing(_ result: Int, _ kernel: inout K) {
    switch result == 0 ? .broken : NoBytes(result) {
    case .later: break
    case .wouldBlock where sendError == 0:
      readable = false
      hungUp = false
    case .wouldBlock: lose(sendError, &kernel)
    case .broken: lose(Int32(-result), &kernel)
    }
  }

  /// Cuts what was read into packets and puts each into its shard's lane. False if a lane has no room; the rest then
  /// waits.
  mutating func cutPackets(_ kernel: inout K) -> Bool {
    stalledLane = nil
    if multicast != nil, let lane = passMulticast() { return stall(lane, &kernel) }
    while true {
      switch passPackets() {
      case .unfinished:
        publish(&kernel)
        return true
      case .noRoom(let lane):
        return stall(lane, &kernel)
      case .other(let size):
        if let lane = passOther(size, &kernel) { return stall(lane, &kernel) }
      case .sameClient:
        joinRun()
      case .unexpected:
        publish(&kernel)
        lose(EPROTO, &kernel)
        return false
      case .oversized(let size) where mayBeMulticast(size):
        guard read &- parsed >= UInt64(truncatingIfNeeded: Wire.sizePrefix &+ size) else {
          publish(&kernel)
          return true
        }
        if let lane = passOther(size, &kernel) { return stall(lane, &kernel) }
      case .oversized(let size):
        events.post(.backendOversized(size: UInt32(size), maximum: UInt32(settings.maxTaggedPacket)), &kernel)
        publish(&kernel)
        lose(EPROTO, &kernel)
        return false
      }
    }
  }

  /// The packet at `parsed` waits for room in a lane.
  private mutating func stall(_ lane: Int, _ kernel: inout K) -> Bool {
    stalledLane = lane
    publish(&kernel)
    return false
  }

  /// Why passing packets on stopped at the packet at `parsed`.
  private enum Obstacle {
    case unfinished
    case noRoom(lane: Int)
    /// It has no flag, or one that is not a ``PacketFlag`` of a backend.
    case other(size: Int)
    /// Its tag was accepted, although no backend sends its flag.
    case unexpected
    case oversized(size: Int)
    /// It is for the same client as the packet before it, so the two may be passed on together.
    case sameClient
  }

  /// Passes packets on as long as they are whole and well formed and their lanes have room. This loop is a function of
  /// its own, so that rare cases take no registers from it.
  @inline(never)
  private mutating func passPackets() -> Obstacle {
    // Any id except the first packet's, because this call has passed nothing on before that packet.
    var lastID = ~memory[parsed].loadUnaligned(fromByteOffset: Wire.sizePrefix, as: UInt64.self).littleEndian
    while read &- parsed >= UInt64(Wire.sizePrefix) {
      let packet = memory[parsed]
      let size = Int(UInt32(littleEndian: packet.loadUnaligned(as: UInt32.self)))
      guard size <= settings.maxTaggedPacket else { return .oversized(size: size) }
      let wireBytes = UInt64(truncatingIfNeeded: Wire.sizePrefix &+ size)
      guard read &- parsed >= wireBytes else { break }
      guard let tag = Tag(memory.data(of: packet, size), from: .backend) else { return .other(size: size) }
      if tag.clientID == lastID { return .sameClient }
      let kind: Descriptor.Kind
      switch tag.flag {
      case .data: kind = .data
      case .kick: kind = .kick
      // `Tag` rejects them from a backend. If one slips through all the same, it must not be treated as data.
      case .failure, .reconnection: return .unexpected
      }
      let (lane, slot) = place(of: tag.clientID)
      guard lanes[lane].downlink.hasRoom() else { return .noRoom(lane: lane) }
      // The client's size prefix goes over the end of the tag, even for a kick, which needs none.
      let dataCount = size &- Wire.tag
      (packet + Wire.tag).storeBytes(of: UInt32(truncatingIfNeeded: dataCount).littleEndian, as: UInt32.self)
      lanes[lane].downlink.push(
        Descriptor(
          position: parsed &+ UInt64(Wire.tag), clientID: tag.clientID, slot: slot, dataCount: dataCount,
          kind: kind))
      parsed &+= wireBytes
      lastID = tag.clientID
    }
    return .unfinished
  }

  /// The lane to the shard of an id, and the slot that the id stands for there. If the id names no shard, it is not a
  /// session. Any shard can answer that.
  @inline(__always)
  func place(of id: UInt64) -> (lane: Int, slot: UInt32) {
    let place = ids.place(of: id)
    return (place.shard < lanes.count ? place.shard : 0, place.slot)
  }

  /// Moves small packets that follow one for the same client up behind it, and passes them on together. Whatever is
  /// then at `parsed` is passed on by itself.
  @inline(never)
  private mutating func joinRun() {
    let id = memory.data(of: memory[parsed], Wire.tag).littleEndianUInt64(at: 0)
    guard let run = lanes[place(of: id).lane].downlink.last(), run.pointee.isData else { return }
    // What was read is contiguous. All addresses are in one mapping of the memory, so when a packet is moved over a
    // part of itself, memmove sees that the two overlap.
    var packet = memory[parsed]
    var end = packet
    var room = Limits.downlinkRun &- run.pointee.byteCount
    while read &- parsed >= UInt64(Wire.sizePrefix &+ Wire.tag) {
      let size = Int(UInt32(littleEndian: packet.loadUnaligned(as: UInt32.self)))
      let dataCount = size &- Wire.tag
      guard dataCount >= 0, dataCount <= min(room, Limits.largestGathered), size <= settings.maxTaggedPacket,
        read &- parsed >= UInt64(truncatingIfNeeded: Wire.sizePrefix &+ size),
        let tag = Tag(memory.data(of: packet, size), from: .backend), tag.clientID == id, tag.flag == .data
      else { return }
      end.storeBytes(of: UInt32(truncatingIfNeeded: dataCount).littleEndian, as: UInt32.self)
      memmove(end + Wire.sizePrefix, packet + (Wire.sizePrefix &+ Wire.tag), dataCount)
      let byteCount = Wire.sizePrefix &+ dataCount
      run.pointee.extend(by: byteCount)
      end += byteCount
      room &-= byteCount
      packet += Wire.sizePrefix &+ size
      parsed &+= UInt64(truncatingIfNeeded: Wire.sizePrefix &+ size)
    }
  }

  /// Passes on a packet whose flag is an ``ExtensionFlag``, or skips it if it is malformed. Returns the lane that has
  /// no room for it.
  @inline(never)
  private mutating func passOther(_ size: Int, _ kernel: inout K) -> Int? {
    let data = memory.data(of: memory[parsed], size)
    switch size < Wire.tag ? nil : ExtensionFlag(rawValue: data.byte(at: Wire.clientID)) {
    case .volatile: return passVolatile(size)
    case .multicast where beginMulticast(size): return passMulticast()
    case .multicast: skip(size, as: .multicast, &kernel)
    case .away, .address: skip(size, as: .wrongDirection, &kernel)
    case nil: skip(size, &kernel)
    }
    return nil
  }

  /// As for an ordinary packet, but one at a time.
  private mutating func passVolatile(_ size: Int) -> Int? {
    let packet = memory[parsed]
    let id = memory.data(of: packet, size).littleEndianUInt64(at: 0)
    let (lane, slot) = place(of: id)
    guard lanes[lane].downlink.hasRoom() else { return lane }
    let dataCount = size &- Wire.tag
    (packet + Wire.tag).storeBytes(of: UInt32(truncatingIfNeeded: dataCount).littleEndian, as: UInt32.self)
    lanes[lane].downlink.push(
      Descriptor(
        position: parsed &+ UInt64(Wire.tag), clientID: id, slot: slot, dataCount: dataCount, kind: .volatile))
    parsed &+= UInt64(truncatingIfNeeded: Wire.sizePrefix &+ size)
    return nil
  }

  /// Skips the malformed packet at `parsed`: its length is known, so the stream stays in step.
  @inline(never)
  mutating func skip(_ size: Int, as malformed: Event.MalformedPacket? = nil, _ kernel: inout K) {
    counters.add(.packetsMalformed)
    let data = memory.data(of: memory[parsed], size)
    let what = malformed ?? Firehose.whatIsWrong(data)
    switch what {
    case .unknownFlag, .wrongDirection:
      events.tally(what.metric, .warning, by: data.littleEndianUInt64(at: 0), &kernel)
    // It has no id that means a client.
    case .tooShort, .multicast: events.tally(what.metric, .warning, &kernel)
    }
    parsed &+= UInt64(Wire.sizePrefix &+ size)
  }

  private static func whatIsWrong(_ data: RawSpan) -> Event.MalformedPacket {
    do {
      _ = try Tag.decode(data, from: .backend)
      // Only packets that cannot be decoded get here.
      preconditionFailure("the packet is well formed")
    } catch {
      switch error {
      case .tooShort: return .tooShort
      // On probation, extension flags that only a relay sends get here, too.
      case .unknownFlag(let flag): return ExtensionFlag(rawValue: flag) == nil ? .unknownFlag : .wrongDirection
      case .wrongDirection: return .wrongDirection
      }
    }
  }

  /// Makes what this read brought visible to the shards, and wakes those that are asleep.
  private mutating func publish(_ kernel: inout K) {
    for lane in 0..<lanes.count {
      if lanes[lane].downlink.publish() { lanes[lane].bell.wake(&kernel) }
    }
  }

  // MARK: The memory

  /// The start of the oldest packet that a shard has not released; `parsed` if there is none.
  mutating func oldestHeld() -> UInt64 {
    var oldest = parsed
    for lane in 0..<lanes.count {
      guard let held = lanes[lane].downlink.oldestHeld() else { continue }
      oldest = min(oldest, held.position &- UInt64(Wire.tag))
    }
    return oldest
  }

  /// Whether the shards have taken enough for the backend to be read. If not, asks the shards that hold packets to wake
  /// the firehose.
  mutating func canReceive() -> Bool {
    if let stalledLane, !lanes[stalledLane].downlink.hasRoom() {
      lanes[stalledLane].downlink.announceWaits()
      return lanes[stalledLane].downlink.hasRoom()
    }
    if parsed &- oldestHeld() < UInt64(Limits.downlinkWindow) { return true }
    for lane in 0..<lanes.count { lanes[lane].downlink.announceWaits() }
    return parsed &- oldestHeld() < UInt64(Limits.downlinkWindow)
  }

  /// Starts again at the beginning of the memory if nothing in it is in use except, at most, a small part of an
  /// unfinished packet: memory that is reused stays in the cache.
  private mutating func rewind() {
    assert(multicast == nil, "what is left of it is passed on first")
    let rest = Int(read &- parsed)
    guard parsed >= UInt64(Limits.downlinkRead) || rest == 0, parsed > 0, rest <= Limits.downlinkRewind,
      oldestHeld() == parsed
    else { return }
    if rest > 0 { memmove(memory[0], memory[parsed], rest) }
    read = UInt64(rest)
    parsed = 0
  }
}
