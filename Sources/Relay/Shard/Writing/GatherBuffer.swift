import Glibc
import VoltlaneWire

/// Where a shard assembles what it sends to one client: small packets are copied one after another, and large ones are
/// sent from where they are, as pieces of the same call.
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
      // Read whole before the copy: the compiler cannot know that the copy does not write over it.
      let packet = lane.taken(position).pointee
      memcpy(end, memory[packet.position], packet.byteCount)
      end += packet.byteCount
      position = packet.next
    }
  }

  /// Fills `vectors` with the `left` packets listed from `position` on, as many as one call takes, using the memory
  /// behind the first `used` bytes; moves both on, and returns the bytes of the call.
  mutating func collect(
    _ lane: borrowing RecordConsumer<Descriptor>, _ memory: DownlinkMemory, _ position: inout UInt32,
    _ left: inout UInt32, behind used: Int
  ) -> Int {
    var end = start + used
    // A packet is copied if there is room for even the largest that may be copied.
    let last = start + capacity - Limits.largestGathered
    var total = 0
    vectorCount = 0
    while left > 0, vectorCount < Limits.gatherVectors {
      let packet = lane.taken(position).pointee
      var vector = iovec(iov_base: memory[packet.position], iov_len: packet.byteCount)
      // Copying the only packet would gain nothing.
      if left > 1, packet.byteCount <= Limits.largestGathered, end <= last {
        vector.iov_base = end
        end = copyRun(lane, memory, &position, &left, to: end, last)
        vector.iov_len = end - vector.iov_base
      } else {
        position = packet.next
        left &-= 1
      }
      vectors[vectorCount] = vector
      vectorCount &+= 1
      total &+= vector.iov_len
    }
    return total
  }

  /// Copies packets as long as they are small and begin at most at `last`. Returns where they end.
  @inline(__always)
  private func copyRun(
    _ lane: borrowing RecordConsumer<Descriptor>, _ memory: DownlinkMemory, _ position: inout UInt32,
    _ left: inout UInt32, to target: UnsafeMutableRawPointer, _ last: UnsafeMutableRawPointer
  ) -> UnsafeMutableRawPointer {
    var end = target
    while left > 0 {
      let packet = lane.taken(position).pointee
      guard packet.byteCount <= Limits.largestGathered, end <= last else { break }
      memcpy(end, memory[packet.position], packet.byteCount)
      end += packet.byteCount
      position = packet.next
      left &-= 1
    }
    return end
  }
}

#if DEBUG
extension GatherBuffer {
  func checkInvariants() throws(InvariantViolation) {
    try require((0...Limits.gatherVectors).contains(vectorCount), "a send of \(vectorCount) pieces")
  }
}
#endif
