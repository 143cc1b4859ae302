import Glibc
import VoltlaneWire

/// The firehose's end of an ``UplinkLane``.
///
/// Invariant: `head` is the start of the first packet that the backend's socket has not taken whole; `sentOfHead` is
/// how many of its bytes the present connection has taken. `head` moves packet by packet, so that a new connection
/// continues with the right one.
struct UplinkConsumer: ~Copyable {
  private let indices: LaneIndices
  private let base: UnsafeMutableRawPointer
  private let mask: UInt64
  private var head: UInt64
  private var references: RecordConsumer<PacketReference>
  private let freedBytes: SharedWord
  private let sample: UplinkSample
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
    sample = lane.sample
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
        if references.cursorHolds { freeReferences() }
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

  /// When a sample was read whose first packet the socket has now; nil if there is none.
  @inline(__always)
  func takeSample() -> UInt64? { sample.take(sentUpTo: head) }

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
