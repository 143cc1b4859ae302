import VoltlaneWire

/// How far the firehose has come with a packet for many clients.
struct MulticastProgress {
  /// Where the ids are in memory, how many there are, and how many of them have got the packet.
  let ids: UInt64
  let count: Int
  var passed = 0
  /// The last id, of which the memory has only a part: the clients' size prefix is written over its end.
  let lastID: UInt64
  /// Where the packet begins, in the form in which clients get it, and the size of its data.
  let position: UInt64
  let dataCount: Int
  let kind: Descriptor.Kind
  /// Where the multicast ends.
  let end: UInt64
}

/// One packet for many clients. It is in memory once, and crosses to the shards as one descriptor for each client:
///
///     received    | u32 size | u64 0 | flag | kind | u32 n | u64 id | ... | u64 id   | packet
///     for clients |                                                   ... | u32 size | packet
///                                                                         ^ position of every descriptor
///
/// As with any packet, what a slow client's socket does not take is copied into that client's pending bytes, so a slow
/// client does not keep this memory from others. And as with any packet, a lane without room holds the multicast up.
extension Firehose where K: ~Copyable {
  /// Whether the packet at `position`, whose header has been read, is for many clients.
  func isMulticast(at position: UInt64) -> Bool {
    memory[position].load(fromByteOffset: Wire.sizePrefix &+ Wire.clientID, as: UInt8.self)
      == ExtensionFlag.multicast.rawValue
  }

  /// Whether the packet at `parsed`, which is too large to be for a single client, may be for many, judging by as much
  /// of it as has been read.
  func mayBeMulticast(_ size: Int) -> Bool {
    size <= settings.maxTaggedPacket &+ Multicast.mostOverhead
      && (read &- parsed < UInt64(Wire.taggedHeader) || isMulticast(at: parsed))
  }

  /// Begins to pass on the packet at `parsed`, which has been read whole. False if it is malformed.
  mutating func beginMulticast(_ size: Int) -> Bool {
    guard size >= Wire.tag + Multicast.prefix else { return false }
    let data = memory.data(of: memory[parsed], size)
    let kind: Descriptor.Kind
    switch data.byte(at: Wire.tag) {
    case PacketFlag.data.rawValue: kind = .data
    case ExtensionFlag.volatile.rawValue: kind = .volatile
    default: return false
    }
    let count = Int(data.littleEndianUInt32(at: Wire.tag + 1))
    let list = Wire.tag + Multicast.prefix
    guard count <= Multicast.maxIDs, count &* Wire.clientID <= size &- list else { return false }
    let dataCount = size &- list &- count &* Wire.clientID
    guard dataCount <= settings.maxTaggedPacket &- Wire.tag else { return false }
    counters.add(.multicasts)
    let end = parsed &+ UInt64(truncatingIfNeeded: Wire.sizePrefix &+ size)
    guard count > 0 else {
      parsed = end
      return true
    }
    let position = end &- UInt64(truncatingIfNeeded: dataCount &+ Wire.sizePrefix)
    multicast = MulticastProgress(
      ids: parsed &+ UInt64(Wire.sizePrefix + list), count: count,
      lastID: data.littleEndianUInt64(at: list &+ (count &- 1) &* Wire.clientID), position: position,
      dataCount: dataCount, kind: kind, end: end)
    // Over the end of the last id. It is written once for all clients, before the first shard sees it.
    memory[position].storeBytes(of: UInt32(truncatingIfNeeded: dataCount).littleEndian, as: UInt32.self)
    return true
  }

  /// Passes it on to the clients that have not got it. Returns the lane without room that holds it up; nil if all have
  /// it.
  @inline(never)
  mutating func passMulticast() -> Int? {
    guard var progress = multicast else { return nil }
    // The list is contiguous, as every packet is.
    let list = memory[progress.ids]
    while progress.passed < progress.count {
      let isLast = progress.passed == progress.count &- 1
      let offset = progress.passed &* Wire.clientID
      let id =
        isLast
        ? progress.lastID : UInt64(littleEndian: list.loadUnaligned(fromByteOffset: offset, as: UInt64.self))
      let (lane, slot) = place(of: id)
      guard lanes[lane].downlink.hasRoom() else {
        multicast = progress
        return lane
      }
      lanes[lane].downlink.push(
        Descriptor(
          position: progress.position, clientID: id, slot: slot, dataCount: progress.dataCount,
          kind: progress.kind))
      progress.passed &+= 1
    }
    parsed = progress.end
    multicast = nil
    return nil
  }

  /// The connection is gone. As with any packet that waits here, a client that has not got it by now does not get it.
  /// For the others it stays in memory until their shards release it.
  mutating func giveUpMulticast() {
    guard let multicast else { return }
    parsed = multicast.end
    self.multicast = nil
  }
}
