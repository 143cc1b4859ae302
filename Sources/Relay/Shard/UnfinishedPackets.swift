/// Which connections have an unfinished packet with a buffer, by the buffer's size: a list for each power of two,
/// through the connections. Tells the largest without a search through all.
struct UnfinishedPackets {
  private var heads = InlineArray<32, UInt32>(repeating: .none)
  private var occupied: UInt32 = 0

  private static func sizeClass(_ capacity: UInt32) -> Int { 31 - capacity.leadingZeroBitCount }

  /// The size of the largest, to within a factor of two; 0 where there is none.
  var largestClass: Int { occupied == 0 ? 0 : 1 << (31 - occupied.leadingZeroBitCount) }

  /// The connection's buffer has been made.
  mutating func add(_ index: UInt32, _ connections: borrowing ConnectionTable) {
    let connection = connections[index]
    let size = UnfinishedPackets.sizeClass(connection.pointee.unfinished!.capacity)
    connection.pointee.unfinishedPrevious = .none
    connection.pointee.unfinishedNext = heads[size]
    if heads[size] != .none { connections[heads[size]].pointee.unfinishedPrevious = index }
    heads[size] = index
    occupied |= 1 << UInt32(size)
  }

  /// The connection's buffer is about to grow, to be freed or to leave.
  mutating func remove(_ index: UInt32, _ connections: borrowing ConnectionTable) {
    let connection = connections[index]
    let size = UnfinishedPackets.sizeClass(connection.pointee.unfinished!.capacity)
    let next = connection.pointee.unfinishedNext
    let previous = connection.pointee.unfinishedPrevious
    if previous == .none {
      heads[size] = next
      if next == .none { occupied &= ~(1 << UInt32(size)) }
    } else {
      connections[previous].pointee.unfinishedNext = next
    }
    if next != .none { connections[next].pointee.unfinishedPrevious = previous }
  }

  /// The largest: the one with most bytes of those whose buffers are of the largest power of two. Looks at a bounded
  /// number of them, so that many equal ones cost no more than a few.
  func largest(_ connections: borrowing ConnectionTable) -> UInt32? {
    guard occupied != 0 else { return nil }
    var index = heads[31 - occupied.leadingZeroBitCount]
    var largest = index
    for _ in 0..<256 {
      index = connections[index].pointee.unfinishedNext
      guard index != .none else { break }
      if connections[index].pointee.unfinished!.count > connections[largest].pointee.unfinished!.count {
        largest = index
      }
    }
    return largest
  }
}
