import Glibc
import VoltlaneWire

/// The way down: large reads of the backend's socket, cut into packets where they lie; what crosses to the shards is a
/// descriptor. A client that does not read never holds this up: the shards take everything.
extension Firehose where K: ~Copyable {
  /// Reads the backend once and hands what came to the shards.
  mutating func receive(_ kernel: inout K) {
    guard state == .connected else { return receiveUnconnected(&kernel) }
    guard readable || stalledLane != nil || sendError != 0 else { return }
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

  /// Reads once. False where nothing came; the connection may be lost then.
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
    switch result == 0 ? .broken : Refusal(result) {
    case .later: break
    case .wouldBlock where sendError == 0:
      readable = false
      hungUp = false
    case .wouldBlock: lose(sendError, &kernel)
    case .broken: lose(Int32(-result), &kernel)
    }
  }

  /// Cuts what was read into packets and puts each into its shard's lane. False when a lane has no room: the rest
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

  /// What passing packets on stopped at: the packet at `parsed`.
  private enum Obstacle {
    case unfinished
    case noRoom(lane: Int)
    /// It has another flag than the published ones that a backend sends, or none.
    case other(size: Int)
    /// Its flag is none that a backend sends, though its tag was taken for well formed.
    case unexpected
    case oversized(size: Int)
    /// It is for the client of the packet before it: they may go on together.
    case sameClient
  }

  /// Passes packets on as long as they are whole and well formed and their lanes have room. A loop of its own, so that
  /// nothing that is rare takes registers from it.
  @inline(never)
  private mutating func passPackets() -> Obstacle {
    // Any but that of the first packet: nothing that this call passed on stands before it.
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
      // `Tag` refuses them as coming from a backend. If one slips through, it must not pass for data.
      case .failure, .reconnection: return .unexpected
      }
      let place = ids.place(of: tag.clientID)
      // An id that no shard has is no session's: any shard says so.
      let lane = place.shard < lanes.count ? place.shard : 0
      guard lanes[lane].downlink.hasRoom() else { return .noRoom(lane: lane) }
      // The client's size prefix goes over the end of the tag, also where a kick needs none.
      let dataCount = size &- Wire.tag
      (packet + Wire.tag).storeBytes(of: UInt32(truncatingIfNeeded: dataCount).littleEndian, as: UInt32.self)
      lanes[lane].downlink.push(
        Descriptor(
          position: parsed &+ UInt64(Wire.tag), clientID: tag.clientID, slot: place.slot, dataCount: dataCount,
          kind: kind))
      parsed &+= wireBytes
      lastID = tag.clientID
    }
    return .unfinished
  }

  /// Moves small packets for the client of the packet before them up behind that one and passes them on with it, as
  /// long as they follow one another. What is left at `parsed` goes on by itself.
  @inline(never)
  private mutating func joinRun() {
    let id = memory.data(of: memory[parsed], Wire.tag).littleEndianUInt64(at: 0)
    let shard = ids.place(of: id).shard
    guard let run = lanes[shard < lanes.count ? shard : 0].downlink.last(), run.pointee.isData else { return }
    // What was read lies in one piece. Going through it in one mapping of the memory, a packet that is moved over a
    // part of itself does so at addresses that overlap, too.
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

  /// Passes on a packet whose flag is none of the published ones, or skips it where it is malformed. Returns the lane
  /// that has no room for it.
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

  /// The same as for an ordinary packet, one by one.
  private mutating func passVolatile(_ size: Int) -> Int? {
    let packet = memory[parsed]
    let id = memory.data(of: packet, size).littleEndianUInt64(at: 0)
    let place = ids.place(of: id)
    let lane = place.shard < lanes.count ? place.shard : 0
    guard lanes[lane].downlink.hasRoom() else { return lane }
    let dataCount = size &- Wire.tag
    (packet + Wire.tag).storeBytes(of: UInt32(truncatingIfNeeded: dataCount).littleEndian, as: UInt32.self)
    lanes[lane].downlink.push(
      Descriptor(
        position: parsed &+ UInt64(Wire.tag), clientID: id, slot: place.slot, dataCount: dataCount, kind: .volatile))
    parsed &+= UInt64(truncatingIfNeeded: Wire.sizePrefix &+ size)
    return nil
  }

  /// Skips the malformed packet at `parsed`: its length is known, so the stream stays in step.
  @inline(never)
  mutating func skip(_ size: Int, as malformed: Event.MalformedPacket? = nil, _ kernel: inout K) {
    counters.add(.packetsMalformed)
    let what = malformed ?? Firehose.whatIsWrong(memory.data(of: memory[parsed], size))
    events.tally(what.metric, .warning, &kernel)
    parsed &+= UInt64(Wire.sizePrefix &+ size)
  }

  private static func whatIsWrong(_ data: RawSpan) -> Event.MalformedPacket {
    do {
      _ = try Tag.decode(data, from: .backend)
      // Only a packet that could not be decoded comes here.
      preconditionFailure("the packet is well formed")
    } catch {
      switch error {
      case .tooShort: return .tooShort
      // On probation, all that a relay says comes here.
      case .unknownFlag(let flag): return ExtensionFlag(rawValue: flag) == nil ? .unknownFlag : .wrongDirection
      case .wrongDirection: return .wrongDirection
      }
    }
  }

  /// Shows the shards what this read brought, and wakes those that sleep.
  private mutating func publish(_ kernel: inout K) {
    for lane in 0..<lanes.count {
      if lanes[lane].downlink.publish(), lanes[lane].bell.takeSleep() { kernel.ring(lanes[lane].bell) }
    }
  }

  // MARK: The memory

  /// Where the oldest packet begins that a shard has not given back; `parsed` where there is none.
  private mutating func oldestHeld() -> UInt64 {
    var oldest = parsed
    for lane in 0..<lanes.count {
      guard let held = lanes[lane].downlink.oldestHeld() else { continue }
      oldest = min(oldest, held.position &- UInt64(Wire.tag))
    }
    return oldest
  }

  /// Whether shards have taken enough that the backend may be read. Where not, asks to be woken by those that hold
  /// packets.
  mutating func canReceive() -> Bool {
    if let stalledLane, !lanes[stalledLane].downlink.hasRoom() {
      lanes[stalledLane].downlink.announceWaits()
      return lanes[stalledLane].downlink.hasRoom()
    }
    if parsed &- oldestHeld() < UInt64(Limits.downlinkWindow) { return true }
    for lane in 0..<lanes.count { lanes[lane].downlink.announceWaits() }
    return parsed &- oldestHeld() < UInt64(Limits.downlinkWindow)
  }

  /// Begins the memory anew where nothing in it is in use but, at most, a little of an unfinished packet: what is used
  /// over and over stays in the cache.
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
