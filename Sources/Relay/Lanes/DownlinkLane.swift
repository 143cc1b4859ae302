import VoltlaneWire

/// A packet from the backend for one of a shard's clients, where it lies in ``DownlinkMemory``.
///
/// The firehose has written the client's header in place, over the end of the tag, so that the shard sends the packet
/// from where it was received:
///
///     received    | u32 size | u64 id           | flag | data
///     for client             |   ...   | u32 size of data | data
///                                      ^ position
struct Descriptor: BitwiseCopyable {
  let position: UInt64
  let clientID: UInt64
  /// The packet's bytes with the client's header, and the kick's bit.
  private let bytesAndKick: UInt32
  private var slotOrNext: UInt32

  private static let kickBit: UInt32 = 1 << 31

  /// A packet of `dataCount` bytes whose client header is at `position`. `flag` is one that a backend sends, data (0)
  /// or kick (2): shifted, it is the kick's bit.
  @inline(__always)
  init(position: UInt64, clientID: UInt64, slot: UInt32, dataCount: Int, flag: PacketFlag) {
    assert(flag == .data || flag == .kick)
    self.position = position
    self.clientID = clientID
    slotOrNext = slot
    bytesAndKick = UInt32(truncatingIfNeeded: dataCount &+ Wire.sizePrefix) | UInt32(flag.rawValue) &<< 30
  }

  /// The slot that the id names in its shard: the firehose had to work it out to find the shard.
  @inline(__always) var slot: UInt32 { slotOrNext }

  /// The next descriptor for the same client in the turn of the shard, which writes it over the slot.
  @inline(__always) var next: UInt32 {
    get { slotOrNext }
    set { slotOrNext = newValue }
  }

  @inline(__always) var isKick: Bool { bytesAndKick & Descriptor.kickBit != 0 }
  /// Bytes of the packet with the client's header.
  @inline(__always) var byteCount: Int { Int(bytesAndKick & ~Descriptor.kickBit) }
}

/// What was read from the backend: a ring that is mapped twice, so that every packet lies in one piece and an
/// unfinished one simply goes on with the next read. Written by the firehose, read by all shards.
///
/// Positions count bytes and begin anew at 0 whenever nothing there is in use, which keeps the memory in use in cache.
struct DownlinkMemory: @unchecked Sendable {
  private let base: UnsafeMutableRawPointer
  private let mask: UInt64
  var capacity: Int { Int(mask) + 1 }

  /// Room for a window of whole packets, one unfinished packet of the largest size, and a read.
  init(_ arena: Arena, maxPacketSize: Int) throws(RelayError) {
    var capacity = Limits.mebi
    while capacity < Limits.downlinkWindow + maxPacketSize + 13 + 2 * Limits.downlinkRead { capacity *= 2 }
    mask = UInt64(capacity - 1)
    base = try arena.allocateRing(byteCount: capacity)
  }

  /// The data of a packet that begins at `packet`: `size` bytes that were read and not given back.
  @inline(__always) @_lifetime(borrow self)
  func data(of packet: UnsafeMutableRawPointer, _ size: Int) -> RawSpan {
    _overrideLifetime(RawSpan(_unsafeStart: packet + Wire.sizePrefix, byteCount: size), borrowing: self)
  }

  @inline(__always)
  subscript(position: UInt64) -> UnsafeMutableRawPointer { base + Int(truncatingIfNeeded: position & mask) }
}

/// One shard's packets from the backend, and the memory in which they lie.
struct DownlinkLane: @unchecked Sendable {
  let descriptors: RecordLane<Descriptor>
  let memory: DownlinkMemory

  init(_ arena: Arena, memory: DownlinkMemory) {
    descriptors = RecordLane(arena, capacity: Limits.downlinkLane)
    self.memory = memory
  }
}
