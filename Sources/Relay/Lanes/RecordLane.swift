/// A lane of small records of one type: a ring of `capacity` (a power of two) with one producer and one consumer.
///
/// It is made once and given to both sides. Each endpoint caches the other side's position, so most pushes and pops
/// touch no cache line of the other thread.
struct RecordLane<Record: BitwiseCopyable>: @unchecked Sendable {
  let indices: LaneIndices
  let records: UnsafeMutablePointer<Record>
  let capacity: Int

  init(_ arena: Arena, capacity: Int) {
    // Capacities are constants of Limits.
    precondition(capacity.nonzeroBitCount == 1)
    indices = LaneIndices(arena)
    records = arena.allocate(byteCount: capacity * MemoryLayout<Record>.stride).bindMemory(
      to: Record.self, capacity: capacity)
    self.capacity = capacity
  }
}

/// The writing end of a ``RecordLane``. Invariant: `tail - headSeen <= capacity`.
struct RecordProducer<Record: BitwiseCopyable>: ~Copyable {
  private let indices: LaneIndices
  private let records: UnsafeMutablePointer<Record>
  private let mask: UInt64
  private(set) var tail: UInt64
  private var headSeen: UInt64
  private var published: UInt64

  init(_ lane: RecordLane<Record>) {
    indices = lane.indices
    records = lane.records
    mask = UInt64(lane.capacity - 1)
    tail = lane.indices.tail
    headSeen = lane.indices.head
    published = tail
  }

  /// Whether a record fits. Reads the consumer's position only if, as last seen, it leaves no room.
  @inline(__always)
  mutating func hasRoom() -> Bool {
    if tail &- headSeen <= mask { return true }
    headSeen = indices.head
    return tail &- headSeen <= mask
  }

  /// The caller has checked that there is room.
  @inline(__always)
  mutating func push(_ record: Record) {
    records[Int(truncatingIfNeeded: tail & mask)] = record
    tail &+= 1
  }

  /// The record that was pushed last; nil if it has been published.
  @inline(__always)
  mutating func last() -> UnsafeMutablePointer<Record>? {
    tail == published ? nil : records + Int(truncatingIfNeeded: (tail &- 1) & mask)
  }

  /// Makes what was pushed visible to the consumer. True if there was anything new.
  @inline(__always)
  mutating func publish() -> Bool {
    guard tail != published else { return false }
    indices.tail = tail
    published = tail
    return true
  }

  /// The oldest record that the consumer has not released; nil if there is none.
  @inline(__always)
  mutating func oldestHeld() -> Record? {
    headSeen = indices.head
    return headSeen == tail ? nil : records[Int(headSeen & mask)]
  }

  func announceWaits() { indices.announceProducerWaits() }
}

/// The reading end of a ``RecordLane``. Invariant: `head <= cursor <= tailSeen`. Records before `cursor` have been
/// taken, and stay in place until ``release()`` gives them back.
struct RecordConsumer<Record: BitwiseCopyable>: ~Copyable {
  private let indices: LaneIndices
  private let records: UnsafeMutablePointer<Record>
  private let mask: UInt64
  private var head: UInt64
  private(set) var cursor: UInt64
  private var tailSeen: UInt64

  init(_ lane: RecordLane<Record>) {
    indices = lane.indices
    records = lane.records
    mask = UInt64(lane.capacity - 1)
    head = lane.indices.head
    cursor = head
    tailSeen = head
  }

  /// Records that can be taken.
  @inline(__always)
  mutating func available() -> Int {
    if cursor == tailSeen { tailSeen = indices.tail }
    return Int(truncatingIfNeeded: tailSeen &- cursor)
  }

  /// Whether a record can be taken, by the producer's position of this moment.
  @inline(__always)
  var hasNew: Bool { indices.tail != cursor }

  /// Behind the last record that has been published.
  var end: UInt64 { indices.tail }

  /// How many records can be taken. Reads the producer's position even if some are known already.
  @inline(__always)
  mutating func availableNow() -> Int {
    tailSeen = indices.tail
    return Int(truncatingIfNeeded: tailSeen &- cursor)
  }

  /// Whether a record can be taken by what ``available()`` last saw.
  @inline(__always)
  var cursorHolds: Bool { cursor != tailSeen }

  /// The record that ``take()`` would give; the caller has made sure that there is one.
  @inline(__always)
  var first: Record { records[Int(truncatingIfNeeded: cursor & mask)] }

  @inline(__always)
  mutating func take() -> Record {
    let record = records[Int(truncatingIfNeeded: cursor & mask)]
    cursor &+= 1
    return record
  }

  /// Takes `count` records that the caller has read with ``taken(_:)``. The caller has checked that there are that
  /// many.
  @inline(__always)
  mutating func skip(_ count: Int) { cursor &+= UInt64(truncatingIfNeeded: count) }

  /// A record that has been taken and not released, or one that could be taken. `position` is the value of `cursor`
  /// just before it is taken.
  @inline(__always)
  func taken(_ position: UInt32) -> UnsafeMutablePointer<Record> {
    records + Int(truncatingIfNeeded: UInt64(position) & mask)
  }

  /// Whether there are records that have been taken and not released.
  @inline(__always)
  var holds: Bool { head != cursor }

  /// Whether the producer is waiting for the records that were taken to be released.
  @inline(__always)
  var isAwaited: Bool { indices.producerIsWaiting }

  /// Gives back what was taken. True if the producer was waiting for that.
  @inline(__always)
  mutating func release() -> Bool {
    guard head != cursor else { return false }
    head = cursor
    indices.head = head
    return indices.takeProducerWaits()
  }

  /// Takes and gives back one record.
  mutating func pop() -> Record? {
    guard available() > 0 else { return nil }
    let record = take()
    _ = release()
    return record
  }
}
