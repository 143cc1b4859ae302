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
/// protocol for every backend: the layout is ``Tag`` in VoltlaneWire, and Protocol.md documents it. The producer's
/// `writeHeader` writes it, and the consumer's `packetAtHead` and `dropPacketAtHead` read it; no other code does.
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
  /// When some packets on their way were read.
  let sample: UplinkSample

  init(_ arena: Arena, capacity: Int = Limits.uplinkLane) throws(RelayError) {
    indices = LaneIndices(arena)
    base = try arena.allocateRing(byteCount: capacity)
    self.capacity = capacity
    references = RecordLane(arena, capacity: Limits.uplinkReferences)
    freedBytes = SharedWord(arena)
    sample = UplinkSample(arena)
  }
}

/// The data of a packet whose header is in the lane, just before `position`. Once pushed, the buffer belongs to the
/// lane, and is freed when the backend's socket has taken the whole packet.
struct PacketReference: BitwiseCopyable {
  let position: UInt64
  let buffer: PacketBuffer
}
