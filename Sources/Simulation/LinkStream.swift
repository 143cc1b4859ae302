/// One direction of a connection: bytes that wait until the other end has room, and those in the network.
struct LinkStream {
  private var waiting = ByteQueue()
  /// Bytes in the network.
  private(set) var crossing = 0
  private var lastArrival: UInt64 = 0
  /// The connection breaks after this many more bytes; nil if it does not.
  var breaksAfter: Int?

  /// Bytes that wait.
  var count: Int { waiting.count }
  var isEmpty: Bool { waiting.isEmpty }

  mutating func append(_ bytes: [UInt8]) { waiting.append(bytes) }
  mutating func append(_ bytes: UnsafeRawBufferPointer) { waiting.append(bytes) }
  mutating func removeAll() { waiting.removeAll() }

  /// The next piece, which sets out now: as much as the window takes, or a part of that.
  mutating func depart(window: Int, _ segments: Odds, _ chance: inout Chance) -> [UInt8] {
    var count = min(waiting.count, max(window, 1), 65_536)
    if count > 1, chance.happens(segments) { count = chance.between(1, count) }
    if let left = breaksAfter {
      count = min(count, left)
      breaksAfter = left - count
    }
    crossing += count
    return waiting.take(count)
  }

  /// When something arrives that sets out now and would arrive at `time`: nothing overtakes what set out before.
  mutating func arrival(_ time: UInt64) -> UInt64 {
    lastArrival = max(lastArrival, time)
    return lastArrival
  }

  mutating func arrive(_ count: Int) { crossing -= count }

  mutating func loseCrossing() { crossing = 0 }
}
