import VoltlaneWire

/// A run of packets from the backend for one of a shard's clients, where they lie in ``DownlinkMemory``.
///
/// The firehose has written the client's header in place, over the end of the tag, so that the shard can send the
/// packet from where it was received. Small packets that follow for the same client are moved up behind it, over their
/// own tags:
///
///     received    | u32 size | u64 id           | flag | data | u32 size | u64 id | flag | data
///     for client             |   ...   | u32 size of data | data | u32 size | data
///                                      ^ position
///
/// A packet for many clients has one descriptor for each of them, in the lanes of their shards. All of these have the
/// same position: the packet is in memory once.
struct Descriptor: BitwiseCopyable {
  let position: UInt64
  let clientID: UInt64
  private var bytes: UInt32
  private var slotOrNext: UInt32
  private(set) var packetCount: UInt32
  let kind: Kind

  /// What the shard is told. Switches over it have no `default`, so that the compiler asks how to handle a new kind.
  /// The order matters: kinds that stand for packets are even, so that a shard tells them by one bit. A new kind goes
  /// at the end.
  enum Kind: UInt8, BitwiseCopyable {
    case data
    /// The backend ends the session.
    case kick
    /// A packet that is worthless if it is late.
    case volatile
    /// The backend's connection died twice within the same packet of this client. The packet was given up, and the
    /// client's session ends.
    case refused
  }

  /// A packet of `dataCount` bytes whose client header is at `position`, ``Wire/tag`` bytes behind its own start.
  @inline(__always)
  init(position: UInt64, clientID: UInt64, slot: UInt32, dataCount: Int, kind: Kind) {
    self.position = position
    self.clientID = clientID
    bytes = UInt32(truncatingIfNeeded: dataCount &+ Wire.sizePrefix)
    slotOrNext = slot
    packetCount = 1
    self.kind = kind
  }

  /// Tells the shard that a packet of this client was given up. The descriptor refers to no bytes in memory.
  init(refused clientID: UInt64, slot: UInt32, position: UInt64) {
    self.position = position
    self.clientID = clientID
    bytes = 0
    slotOrNext = slot
    packetCount = 0
    kind = .refused
  }

  /// The slot that the id stands for in its shard. The firehose has it because it computes the shard and the slot
  /// together.
  @inline(__always) var slot: UInt32 { slotOrNext }

  /// The next descriptor for the same client in the shard's turn. The shard writes it over the slot.
  @inline(__always) var next: UInt32 {
    get { slotOrNext }
    set { slotOrNext = newValue }
  }

  /// Whether other packets may be moved up behind this one.
  @inline(__always) var isData: Bool { kind == .data }
  /// Whether it stands for packets, of either kind.
  @inline(__always) var isPackets: Bool {
    switch kind {
    case .data, .volatile: true
    case .kick, .refused: false
    }
  }
  /// Bytes of the packets with the client's headers.
  @inline(__always) var byteCount: Int { Int(bytes) }

  /// Adds one more packet, which has been moved up behind the others. `byteCount` includes its header.
  @inline(__always)
  mutating func extend(by byteCount: Int) {
    bytes &+= UInt32(truncatingIfNeeded: byteCount)
    packetCount &+= 1
  }
}

/// A packet as its client gets it: the header and the data.
struct ClientPacket {
  let bytes: UnsafeMutableRawPointer
  let count: Int
}

/// Iterates over the packets of a run, for callers that cannot treat it as one piece of bytes.
struct PacketRun {
  private var next: UnsafeMutableRawPointer
  private var left: UInt32

  init(_ run: Descriptor, in memory: DownlinkMemory) {
    next = memory[run.position]
    left = run.packetCount
  }

  mutating func take() -> ClientPacket? {
    guard left > 0 else { return nil }
    left -= 1
    let count = Wire.sizePrefix + Int(UInt32(littleEndian: next.loadUnaligned(as: UInt32.self)))
    defer { next += count }
    return ClientPacket(bytes: next, count: count)
  }
}

/// What was read from the backend: a ring that is mapped twice, so that every packet is contiguous and the next read
/// simply continues an unfinished one. The firehose writes it, and all shards read it.
///
/// Positions count bytes. They start again at 0 whenever nothing here is in use, so that the memory stays in the cache.
struct DownlinkMemory: @unchecked Sendable {
  private let base: UnsafeMutableRawPointer
  private let mask: UInt64
  var capacity: Int { Int(mask) + 1 }

  /// Room for a window of whole packets, one unfinished packet of the largest size, and a read.
  init(_ arena: Arena, maxPacketSize: Int) throws(RelayError) {
    var capacity = Limits.mebi
    let largest = Wire.taggedHeader + Multicast.mostOverhead + maxPacketSize
    while capacity < Limits.downlinkWindow + largest + 2 * Limits.downlinkRead { capacity *= 2 }
    mask = UInt64(capacity - 1)
    base = try arena.allocateRing(byteCount: capacity)
  }

  /// The data of the packet at `packet`: `size` bytes that have been read and not yet released.
  @inline(__always) @_lifetime(borrow self)
  func data(of packet: UnsafeMutableRawPointer, _ size: Int) -> RawSpan {
    _overrideLifetime(RawSpan(_unsafeStart: packet + Wire.sizePrefix, byteCount: size), borrowing: self)
  }

  @inline(__always)
  subscript(position: UInt64) -> UnsafeMutableRawPointer { base + Int(truncatingIfNeeded: position & mask) }
}

/// One shard's packets from the backend, and the memory that holds them.
struct DownlinkLane: @unchecked Sendable {
  let descriptors: RecordLane<Descriptor>
  let memory: DownlinkMemory

  init(_ arena: Arena, memory: DownlinkMemory) {
    descriptors = RecordLane(arena, capacity: Limits.downlinkLane)
    self.memory = memory
  }
}
