import Glibc
import VoltlaneWire

/// One shard's packets on their way to the firehose, in a ring that is mapped twice so that every stretch is contiguous
/// and leaves in one send.
///
/// **A record of the lane is the wire format itself**: the firehose sends these very bytes, and a backend reads them.
///
///     0          4           12     13
///     +----------+-----------+------+---------- - -
///     | u32 size | u64 id    | flag | data            size = Wire.tag + data
///     +----------+-----------+------+---------- - -
///
/// So nothing can be added to a record for the relay's own use. What a shard tells the firehose about a packet, and
/// the backend must not see, goes beside the ring, as ``PacketReference`` does. A change to the record changes the
/// protocol for every backend: the layout is ``Tag`` in VoltlaneWire, and Protocol.md documents it. In this file
/// `writeHeader` writes it, and `packetAtHead` and `dropPacketAtHead` read it; no other code does.
///
/// A large packet's data crosses beside the ring, as a ``PacketReference`` at the position where its header ends.
/// Only whole packets enter, so a client that stalls in the middle of one delays nobody else.
struct UplinkLane: @unchecked Sendable {
  let indices: LaneIndices
  let base: UnsafeMutableRawPointer
  let capacity: Int
  let references: RecordLane<PacketReference>
  /// Bytes of all references that the firehose has ever freed. What a shard has pushed, minus this, is what waits.
  let freedBytes: SharedWord

  init(_ arena: Arena, capacity: Int = Limits.uplinkLane) throws(RelayError) {
    indices = LaneIndices(arena)
    base = try arena.allocateRing(byteCount: capacity)
    self.capacity = capacity
    references = RecordLane(arena, capacity: Limits.uplinkReferences)
    freedBytes = SharedWord(arena)
  }
}

/// The data of a packet whose header is in the lane, just before `position`. Once pushed, the buffer belongs to the
/// lane, and is freed when the backend's socket has taken the whole packet.
struct PacketReference: BitwiseCopyable {
  let position: UInt64
  let buffer: PacketBuffer
}

/// The shard's end. Invariant: `tail - headSeen <= capacity`. The caller checks that there is room before it appends.
struct UplinkProducer: ~Copyable {
  private let indices: LaneIndices
  private let base: UnsafeMutableRawPointer
  private let capacity: UInt64
  private var tail: UInt64
  private var published: UInt64
  private var headSeen: UInt64
  private var references: RecordProducer<PacketReference>
  private let freedBytes: SharedWord
  private var pushedBytes: UInt64 = 0
  /// Room for anything that the relay itself says of a session: the longest of its texts behind a header, or a 0x03 and
  /// where its client connects from.
  let controlRoom: Int

  static let headerSize = Wire.taggedHeader

  init(_ lane: UplinkLane) {
    indices = lane.indices
    base = lane.base
    capacity = UInt64(lane.capacity)
    tail = lane.indices.tail
    published = tail
    headSeen = lane.indices.head
    references = RecordProducer(lane.references)
    freedBytes = lane.freedBytes
    controlRoom =
      UplinkProducer.headerSize + max(CloseReason.longestText, UplinkProducer.headerSize + ClientOrigin.longest)
  }

  /// How many bytes fit. Reads the firehose's position only if, as last seen, it leaves less room than `wanted`.
  @inline(__always)
  mutating func room(for wanted: Int) -> Int {
    if Int(capacity &- (tail &- headSeen)) < wanted { headSeen = indices.head }
    return Int(capacity &- (tail &- headSeen))
  }

  /// Whether one more packet, of any size, may cross by reference: it may while less than the limit is waiting.
  mutating func hasReferenceRoom() -> Bool {
    references.hasRoom() && pushedBytes &- freedBytes.published < UInt64(Limits.uplinkReferencedBytes)
  }

  /// Whether everything that was appended has been sent.
  mutating func isEmpty() -> Bool {
    headSeen = indices.head
    return headSeen == tail
  }

  /// Whether anything that the relay may have to say about a session fits.
  mutating func hasControlRoom() -> Bool { room(for: controlRoom) >= controlRoom }

  /// Writes what the relay itself says about a session. The caller has checked that there is room. This is rare and not
  /// on a packet's way, so the room is checked once more: overwriting what the firehose has yet to send would be worse
  /// than ending.
  @inline(never)
  mutating func say(_ flag: PacketFlag, of id: UInt64, _ text: StaticString? = nil) {
    let count = text?.utf8CodeUnitCount ?? 0
    // All callers ask for room first, and no text is longer than the longest.
    precondition(room(for: UplinkProducer.headerSize + count) >= UplinkProducer.headerSize + count)
    if let text {
      append(id: id, flag: flag.rawValue, text.utf8Start, count)
    } else {
      append(id: id, flag: flag.rawValue)
    }
  }

  /// The same for a session that has become stale.
  @inline(never)
  mutating func sayAway(of id: UInt64) {
    // As above.
    precondition(hasControlRoom())
    append(id: id, flag: ExtensionFlag.away.rawValue)
  }

  /// Says where a session's client connects from.
  @inline(never)
  mutating func say(_ origin: ClientOrigin, of id: UInt64) {
    var (bytes, count) = origin.encoded
    // As above.
    precondition(room(for: UplinkProducer.headerSize + count) >= UplinkProducer.headerSize + count)
    append(id: id, flag: ExtensionFlag.address.rawValue, &bytes, count)
  }

  /// Writes one tagged packet.
  @inline(__always)
  mutating func append(id: UInt64, flag: PacketFlag, _ data: UnsafeRawPointer, _ count: Int) {
    append(id: id, flag: flag.rawValue, data, count)
  }

  @inline(__always)
  private mutating func append(id: UInt64, flag: UInt8, _ data: UnsafeRawPointer, _ count: Int) {
    let header = writeHeader(id: id, flag: flag, count)
    memcpy(header + UplinkProducer.headerSize, data, count)
    tail &+= UInt64(UplinkProducer.headerSize &+ count)
  }

  /// Writes one tagged packet without data.
  private mutating func append(id: UInt64, flag: UInt8) {
    _ = writeHeader(id: id, flag: flag, 0)
    tail &+= UInt64(UplinkProducer.headerSize)
  }

  /// Writes a data packet for each whole packet (size prefix and data) between `start` and `end`, and stops at one that
  /// is larger than `maxSize`. Returns how many there were, and where they end. This loop is a function of its own, so
  /// that rare cases take no registers from it.
  @inline(never)
  mutating func appendAll(
    id: UInt64, from start: UnsafeRawPointer, to end: UnsafeRawPointer, maxSize: Int
  ) -> (count: Int, end: UnsafeRawPointer) {
    var next = start
    var count = 0
    while end - next >= Wire.sizePrefix {
      let size = Int(UInt32(littleEndian: next.loadUnaligned(as: UInt32.self)))
      let data = next + Wire.sizePrefix
      guard size <= min(maxSize, end - data) else { break }
      append(id: id, flag: .data, data, size)
      next = data + size
      count &+= 1
    }
    return (count, next)
  }

  /// Writes one data packet whose data is in two pieces.
  mutating func append(
    id: UInt64, _ first: UnsafeRawPointer, _ firstCount: Int, _ second: UnsafeRawPointer, _ secondCount: Int
  ) {
    let header = writeHeader(id: id, flag: PacketFlag.data.rawValue, firstCount &+ secondCount)
    let data = header + UplinkProducer.headerSize
    memcpy(data, first, firstCount)
    memcpy(data + firstCount, second, secondCount)
    tail &+= UInt64(UplinkProducer.headerSize &+ firstCount &+ secondCount)
  }

  /// Writes one data packet whose data stays in `buffer`, which now belongs to the lane.
  mutating func append(id: UInt64, reference buffer: PacketBuffer) {
    _ = writeHeader(id: id, flag: PacketFlag.data.rawValue, Int(buffer.count), inLane: 0)
    tail &+= UInt64(UplinkProducer.headerSize)
    references.push(PacketReference(position: tail, buffer: buffer))
    pushedBytes &+= UInt64(buffer.capacity)
  }

  @inline(__always)
  private func writeHeader(
    id: UInt64, flag: UInt8, _ count: Int, inLane: Int? = nil
  ) -> UnsafeMutableRawPointer {
    assert(
      Int(capacity &- (tail &- indices.head)) >= UplinkProducer.headerSize &+ (inLane ?? count),
      "the caller has made sure of room")
    let header = base + Int(truncatingIfNeeded: tail & (capacity &- 1))
    UplinkProducer.writeHeader(at: header, id: id, flag: flag, count)
    return header
  }

  /// Writes the size prefix and the tag of a packet with `count` bytes of data. `flag` is a ``PacketFlag`` or an
  /// ``ExtensionFlag``.
  @inline(__always)
  static func writeHeader(at header: UnsafeMutableRawPointer, id: UInt64, flag: UInt8, _ count: Int) {
    header.storeBytes(of: UInt32(truncatingIfNeeded: count &+ Wire.tag).littleEndian, as: UInt32.self)
    header.storeBytes(of: id.littleEndian, toByteOffset: Wire.sizePrefix, as: UInt64.self)
    header.storeBytes(of: flag, toByteOffset: Wire.sizePrefix &+ Wire.clientID, as: UInt8.self)
  }

  /// Makes what was appended visible to the firehose, once for many packets: between cores a packet costs 60-85 ns if
  /// each is published by itself, and 19 ns if sixteen are published together. True if there was anything new.
  @inline(__always)
  mutating func publish() -> Bool {
    guard tail != published else { return false }
    // References first: a reader that sees the header must find its data.
    _ = references.publish()
    indices.tail = tail
    published = tail
    return true
  }

  func announceWaits() { indices.announceProducerWaits() }
}

/// The firehose's end. Invariant: `head` is the start of the first packet that the backend's socket has not taken
/// whole; `sentOfHead` is how many of its bytes the present connection has taken. `head` moves packet by packet, so that
/// a new connection continues with the right one.
struct UplinkConsumer: ~Copyable {
  private let indices: LaneIndices
  private let base: UnsafeMutableRawPointer
  private let mask: UInt64
  private var head: UInt64
  private var references: RecordConsumer<PacketReference>
  private let freedBytes: SharedWord
  private(set) var sentOfHead = 0
  /// Where the part that was last gathered ends, and how many bytes it has on the wire.
  private var gatheredEnd: UInt64
  private(set) var gatheredBytes = 0

  init(_ lane: UplinkLane) {
    indices = lane.indices
    base = lane.base
    mask = UInt64(lane.capacity - 1)
    head = lane.indices.head
    gatheredEnd = head
    references = RecordConsumer(lane.references)
    freedBytes = lane.freedBytes
  }

  var isEmpty: Bool { indices.tail == head }

  /// Adds what waits, from where the last send stopped, to `vectors`, which has room for `room` more (at least 2).
  /// Returns how many it used.
  mutating func gather(_ vectors: UnsafeMutablePointer<iovec>, room: Int) -> Int {
    let tail = indices.tail
    var used = 0
    var skip = sentOfHead
    var position = head
    gatheredBytes = 0
    func add(_ bytes: UnsafeMutableRawPointer, _ count: Int) {
      let skipped = min(skip, count)
      skip &-= skipped
      guard count > skipped else { return }
      vectors[used] = iovec(iov_base: bytes + skipped, iov_len: count &- skipped)
      used &+= 1
      gatheredBytes &+= count &- skipped
    }
    var reference = references.cursor
    // Read after `tail`, so that the reference of every packet before it is visible.
    let referenceEnd = reference &+ UInt64(references.availableNow())
    while position != tail, room &- used >= 2 {
      let next = reference == referenceEnd ? nil : references.taken(UInt32(truncatingIfNeeded: reference))
      guard let next, next.pointee.position <= tail else {
        add(base + Int(position & mask), Int(tail &- position))
        position = tail
        break
      }
      add(base + Int(position & mask), Int(next.pointee.position &- position))
      add(next.pointee.buffer.bytes, Int(next.pointee.buffer.count))
      position = next.pointee.position
      reference &+= 1
    }
    gatheredEnd = position
    return used
  }

  /// Records that the socket took `sent` more bytes, beginning with those gathered from this lane. Returns how many of
  /// them belong to the lanes that were gathered after this one.
  @inline(__always)
  mutating func advance(_ sent: Int) -> Int {
    if sent >= gatheredBytes {
      let left = sent &- gatheredBytes
      if gatheredEnd != head {
        head = gatheredEnd
        sentOfHead = 0
        freeReferences()
      }
      gatheredBytes = 0
      return left
    }
    // Only if the socket took less than it was given: find the packet in which it stopped.
    sentOfHead &+= sent
    while true {
      let packet = packetAtHead()
      guard sentOfHead >= packet.wireBytes else { break }
      sentOfHead &-= packet.wireBytes
      head &+= UInt64(packet.laneBytes)
      freeReferences()
    }
    gatheredBytes = 0
    return 0
  }

  /// Gives up everything that was published.
  mutating func discard() {
    let tail = indices.tail
    guard head != tail else { return }
    // After `tail`, as in `gather`.
    _ = references.availableNow()
    head = tail
    sentOfHead = 0
    freeReferences()
  }

  /// The start of the first packet that the socket has not taken whole.
  var headPosition: UInt64 { head }

  /// Gives up the packet at `head`, and returns its tag; of a packet with an ``ExtensionFlag``, as of a failure: it is
  /// the relay's own.
  mutating func dropPacketAtHead() -> Tag {
    let packet = packetAtHead()
    let header = base + Int(head & mask)
    let tag = Tag(
      clientID: UInt64(littleEndian: header.loadUnaligned(fromByteOffset: Wire.sizePrefix, as: UInt64.self)),
      flag: PacketFlag(rawValue: header.load(fromByteOffset: Wire.sizePrefix &+ Wire.clientID, as: UInt8.self))
        ?? .failure)
    head &+= UInt64(packet.laneBytes)
    sentOfHead = 0
    freeReferences()
    return tag
  }

  /// The connection is gone: the packet of which it had a part is sent whole on the next one.
  mutating func connectionLost() {
    sentOfHead = 0
  }

  /// Gives the shard back the room of what the socket has taken. True if the shard was waiting for it.
  @inline(__always)
  mutating func release() -> Bool {
    guard indices.head != head else { return false }
    indices.head = head
    return indices.takeProducerWaits()
  }

  /// The packet at `head`: its bytes on the wire and in the lane.
  private func packetAtHead() -> (wireBytes: Int, laneBytes: Int) {
    let size = (base + Int(head & mask)).loadUnaligned(as: UInt32.self)
    let wireBytes = Wire.sizePrefix + Int(UInt32(littleEndian: size))
    let header = UInt64(UplinkProducer.headerSize)
    let isReference =
      references.cursorHolds && references.first.position == head &+ header
    return (wireBytes, isReference ? Int(header) : wireBytes)
  }

  @inline(never)
  private mutating func freeReferences() {
    while references.cursorHolds, references.first.position <= head {
      let buffer = references.take().buffer
      // A load and a store suffice, as there is one writer. This comes before `head` is released, because that wakes
      // a shard that is waiting.
      freedBytes.published = freedBytes.relaxed &+ UInt64(buffer.capacity)
      buffer.free()
    }
    _ = references.release()
  }
}
