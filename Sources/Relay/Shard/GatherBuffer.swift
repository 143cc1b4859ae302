import Glibc
import VoltlaneWire

/// Where a shard puts what it sends to one client together: small packets are copied one behind the other, large ones
/// are sent from where they are, as pieces of the same call.
///
/// Invariant: `vectorCount <= Limits.gatherVectors`; sends from here have completed before the memory is used again.
struct GatherBuffer: ~Copyable {
  let start: UnsafeMutableRawPointer
  let capacity = Limits.gather
  private let handshake: UnsafeMutableRawPointer
  let vectors: UnsafeMutablePointer<iovec>
  private(set) var vectorCount = 0

  init(_ arena: Arena) {
    start = arena.allocate(byteCount: Limits.gather)
    handshake = arena.allocate(byteCount: Wire.sizePrefix + Wire.maxHandshakePacket)
    vectors = arena.allocate(byteCount: Limits.gatherVectors * MemoryLayout<iovec>.stride)
      .bindMemory(to: iovec.self, capacity: Limits.gatherVectors)
  }

  /// Puts a handshake packet where it can be sent from, until the next one.
  func place(_ packet: FramedHandshakePacket) -> UnsafeMutableRawPointer {
    for offset in 0..<packet.byteCount {
      handshake.storeBytes(of: packet[offset], toByteOffset: offset, as: UInt8.self)
    }
    return handshake
  }

  /// Copies `count` packets, listed from `first` on, one behind the other.
  @inline(__always)
  func copy(
    _ lane: borrowing RecordConsumer<Descriptor>, _ memory: DownlinkMemory, _ first: UInt32, _ count: UInt32,
    to target: UnsafeMutableRawPointer
  ) {
    var position = first
    var end = target
    for _ in 0..<count {
      let packet = lane.taken(position)
      memcpy(end, memory[packet.pointee.position], packet.pointee.byteCount)
      end += packet.pointee.byteCount
      position = packet.pointee.next
    }
  }

  /// Fills `vectors` with the `left` packets listed from `position` on, as many as one call takes, using the memory
  /// behind the first `used` bytes; moves both on, and returns the bytes of the call.
  mutating func collect(
    _ lane: borrowing RecordConsumer<Descriptor>, _ memory: DownlinkMemory, _ position: inout UInt32,
    _ left: inout UInt32, behind used: Int
  ) -> Int {
    var end = start + used
    let limit = start + capacity
    var total = 0
    vectorCount = 0
    while left > 0, vectorCount < Limits.gatherVectors {
      let packet = lane.taken(position)
      var vector = iovec(iov_base: memory[packet.pointee.position], iov_len: packet.pointee.byteCount)
      // Copying the only packet would gain nothing.
      if left > 1, fits(packet, limit - end) {
        vector.iov_base = end
        end = copyRun(lane, memory, &position, &left, to: end, limit)
        vector.iov_len = end - vector.iov_base
      } else {
        position = packet.pointee.next
        left &-= 1
      }
      vectors[vectorCount] = vector
      vectorCount &+= 1
      total &+= vector.iov_len
    }
    return total
  }

  /// Copies packets as long as they are small and fit before `limit`. Returns where they end.
  @inline(__always)
  private func copyRun(
    _ lane: borrowing RecordConsumer<Descriptor>, _ memory: DownlinkMemory, _ position: inout UInt32,
    _ left: inout UInt32, to target: UnsafeMutableRawPointer, _ limit: UnsafeMutableRawPointer
  ) -> UnsafeMutableRawPointer {
    var end = target
    while left > 0 {
      let packet = lane.taken(position)
      guard fits(packet, limit - end) else { break }
      memcpy(end, memory[packet.pointee.position], packet.pointee.byteCount)
      end += packet.pointee.byteCount
      position = packet.pointee.next
      left &-= 1
    }
    return end
  }

  @inline(__always)
  private func fits(_ packet: UnsafeMutablePointer<Descriptor>, _ room: Int) -> Bool {
    packet.pointee.byteCount <= min(Limits.largestGathered, room)
  }
}
