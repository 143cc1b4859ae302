import CLinux
import Glibc

/// What waits for one client: whole packets, each after its size prefix. These are the packets that the socket did not
/// take at once; after the client's FIN also those that it took and the client's TCP has not acknowledged; and those
/// that a stale session's client missed. While there are none, it points to nothing.
///
/// The relay's own packets (its key, an id, a ping) come first if the socket did not take them. They are never part of
/// what a client missed.
///
/// Invariant: exactly one value points to some ``PendingPackets``, and they are not empty.
struct PendingBytes: BitwiseCopyable {
  private var packets: UnsafeMutablePointer<PendingPackets>?

  /// What the allocator takes for a ``PendingPackets``, with 8 bytes of its own and up to 31 by rounding.
  static let memoryOfPackets = (MemoryLayout<PendingPackets>.size + 8 + 31) / 16 * 16

  @inline(__always) var isEmpty: Bool { packets == nil }
  /// Bytes that are kept: of each packet its data and 4.
  var count: Int { packets?.pointee.count ?? 0 }
  /// Bytes that they cost at the allocator.
  var memory: Int { packets.map { $0.pointee.memory + PendingBytes.memoryOfPackets } ?? 0 }
  /// Bytes that count towards the client's limit.
  var limitedCount: Int { packets?.pointee.limitedCount ?? 0 }
  /// Whether something waits, and all of it is volatile.
  var areVolatile: Bool { packets?.pointee.areVolatile ?? false }
  var hasVolatile: Bool { packets?.pointee.hasVolatile ?? false }
  /// Bytes that have not been sent.
  var unsentCount: Int { packets?.pointee.unsentCount ?? 0 }

  /// Appends one whole packet with its size prefix. False where the system has no memory: nothing has changed then.
  /// `isVolatile`: it is dropped when its socket is gone.
  mutating func append(_ packet: UnsafeRawPointer, _ byteCount: Int, isVolatile: Bool = false) -> Bool {
    guard let packets = madeSure() else { return false }
    defer { freeIfEmpty() }
    return packets.pointee.append(packet, byteCount, isVolatile: isVolatile)
  }

  /// The same for a handshake packet of the relay's. There are only such before it.
  mutating func append(own packet: UnsafeRawPointer, _ byteCount: Int) -> Bool {
    guard let packets = madeSure() else { return false }
    defer { freeIfEmpty() }
    return packets.pointee.append(own: packet, byteCount)
  }

  private mutating func madeSure() -> UnsafeMutablePointer<PendingPackets>? {
    if packets == nil, let memory = malloc(MemoryLayout<PendingPackets>.size) {
      packets = memory.bindMemory(to: PendingPackets.self, capacity: 1)
      packets?.initialize(to: PendingPackets())
    }
    return packets
  }

  /// Lists bytes that have not been sent, in at most `room` pieces and about `most` bytes. Returns how many pieces and
  /// bytes it listed.
  func listUnsent(_ vectors: UnsafeMutablePointer<iovec>, room: Int, most: Int) -> (pieces: Int, bytes: Int) {
    packets?.pointee.listUnsent(vectors, room: room, most: most) ?? (0, 0)
  }

  /// The socket took `taken` more bytes: the packets that it has whole are forgotten.
  mutating func advance(_ taken: Int) {
    packets?.pointee.advance(taken)
    freeIfEmpty()
  }

  /// The socket took `taken` more bytes, and they are kept until they are acknowledged.
  func advanceKeeping(_ taken: Int) { packets?.pointee.advanceKeeping(taken) }

  /// All but the last `unacknowledged` bytes that the socket took have been acknowledged: packets that were whole are
  /// forgotten.
  mutating func acknowledge(allBut unacknowledged: Int) {
    packets?.pointee.acknowledge(allBut: unacknowledged)
    freeIfEmpty()
  }

  /// The socket is gone. Packets that it did not take whole, or is not known to have delivered, will be sent again from
  /// their beginning; of them at most `exempt` bytes count towards no limit. Frees memory that is no longer needed,
  /// drops volatile packets, and returns how many it dropped.
  @discardableResult
  mutating func rewind(exempt: Int) -> Int {
    defer { freeIfEmpty() }
    return packets?.pointee.rewind(exempt: exempt) ?? 0
  }

  /// Drops the volatile packets that are not begun. Returns how many.
  mutating func dropVolatile() -> Int {
    defer { freeIfEmpty() }
    return packets?.pointee.dropVolatile() ?? 0
  }

  /// Takes over all that `other` keeps, behind what is here, which is the relay's own; of it at most `exempt` bytes
  /// count towards no limit.
  mutating func carryOver(_ other: PendingBytes, exempt: Int) {
    guard let packets else {
      self = other
      self.packets?.pointee.exemptAtMost(exempt)
      return
    }
    guard let others = other.packets else { return }
    packets.pointee.carryOver(others.pointee, exempt: exempt)
    free(others)
  }

  mutating func clear() {
    guard let packets else { return }
    packets.pointee.free()
    free(packets)
    self.packets = nil
  }

  private mutating func freeIfEmpty() {
    if let packets, packets.pointee.isEmpty { clear() }
  }

  /// Traps if the counts are wrong. For tests.
  func checkInvariants() {
    guard let packets else { return }
    precondition(!packets.pointee.isEmpty, "memory is kept for nothing")
    let memory = Int(voltlane_allocated(packets))
    precondition((0...16).contains(PendingBytes.memoryOfPackets - memory), "it takes \(memory) bytes")
    packets.pointee.checkInvariants()
  }
}
