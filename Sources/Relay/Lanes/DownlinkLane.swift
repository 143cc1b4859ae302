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
  private let lengthAndKind: UInt32
  private var slotOrNext: UInt32

  /// What the shard is told. The packet's length is below 2^30.
  enum Kind: UInt32 {
    case data = 0
    case kick = 0x4000_0000
    /// The backend's connection died twice within a packet of this client's: the packet is gone, and its client ends.
    case refused = 0x8000_0000
  }

  /// Bytes from a packet's start in the memory to its `position`.
  static let tagBefore = 9

  private static let kindBits: UInt32 = 0xc000_0000

  /// A packet of `dataCount` bytes whose client header is at `position`.
  init(position: UInt64, clientID: UInt64, slot: UInt32, dataCount: Int) {
    self.position = position
    self.clientID = clientID
    slotOrNext = slot
    lengthAndKind = UInt32(truncatingIfNeeded: dataCount)
  }

  init(_ kind: Kind, _ clientID: UInt64, slot: UInt32, position: UInt64) {
    self.position = position
    self.clientID = clientID
    slotOrNext = slot
    lengthAndKind = kind.rawValue
  }

  /// The slot that the id names in its shard: the firehose had to work it out to find the shard.
  @inline(__always) var slot: UInt32 { slotOrNext }

  /// The next descriptor for the same client in the turn of the shard, which writes it over the slot.
  @inline(__always) var next: UInt32 {
    get { slotOrNext }
    set { slotOrNext = newValue }
  }

  @inline(__always) var isData: Bool { lengthAndKind & Descriptor.kindBits == 0 }
  var kind: Kind { Kind(rawValue: lengthAndKind & Descriptor.kindBits) ?? .data }
  /// Bytes of the packet with the client's header.
  @inline(__always) var byteCount: Int { Int(lengthAndKind & ~Descriptor.kindBits) &+ 4 }
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

  /// `count` bytes that were read and not given back.
  @inline(__always) @_lifetime(borrow self)
  func span(at position: UInt64, _ count: Int) -> RawSpan {
    _overrideLifetime(RawSpan(_unsafeStart: self[position], byteCount: count), borrowing: self)
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
