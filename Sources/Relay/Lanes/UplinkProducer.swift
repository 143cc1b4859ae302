import Glibc
import VoltlaneWire

/// The shard's end of an ``UplinkLane``. The caller checks that there is room before it appends.
///
/// Invariant: `tail - headSeen <= capacity`.
struct UplinkProducer: ~Copyable {
  private let indices: LaneIndices
  private let base: UnsafeMutableRawPointer
  private let capacity: UInt64
  private var tail: UInt64
  private var published: UInt64
  private var headSeen: UInt64
  private var references: RecordProducer<PacketReference>
  private let freedBytes: SharedWord
  let sample: UplinkSample
  private var pushedBytes: UInt64 = 0
  /// Room for anything that the relay itself says of a session at once: the longest of its texts behind a header, or a
  /// 0x03 and where its client connects from, behind what was owed of it: where it connected from before, and a 0x04.
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
    sample = lane.sample
    controlRoom = max(
      UplinkProducer.headerSize + CloseReason.longestText,
      4 * UplinkProducer.headerSize + 2 * ClientOrigin.longest)
  }

  /// Where the next packet goes, counted from the beginning.
  var position: UInt64 { tail }

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
    // As above. Not the room for all that may be said of a session: what came before may have taken some of that.
    precondition(room(for: UplinkProducer.headerSize) >= UplinkProducer.headerSize)
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

  /// Writes one data packet whose data stays in `buffer`, which now belongs to the lane. Large packets are few, so here
  /// too the room is checked once more.
  mutating func append(id: UInt64, reference buffer: PacketBuffer) {
    // A shard finishes a large packet only where there is room for one.
    precondition(room(for: UplinkProducer.headerSize) >= UplinkProducer.headerSize && references.hasRoom())
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
    guard hasUnpublished else { return false }
    // References first: a reader that sees the header must find its data.
    _ = references.publish()
    indices.tail = tail
    published = tail
    return true
  }

  /// Whether there is anything to publish.
  @inline(__always) var hasUnpublished: Bool { tail != published }

  func announceWaits() { indices.announceProducerWaits() }
}
