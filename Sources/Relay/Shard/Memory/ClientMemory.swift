/// What a shard counts of its connections' memory against `--memory-budget`: what waits for them, the kernel's share
/// included. (Unfinished and missed packets have budgets of their own, which the gauge adds up.)
///
/// Invariant: what a connection is charged for is its `charged` and `chargedLeaving`, and the gauge has their sums; the
/// gauge knows the size of the shard's largest holder, to within a factor of two.
struct ClientMemory: ~Copyable {
  let gauge: MemoryGauge
  private var waiting = LargestHolders<WaitingBytes>()
  /// When to ask the kernel again what it holds for clients; `.max` while that does not matter.
  private(set) var samplingDue: UInt64 = .max
  /// The connection that is asked about first.
  private var nextSampled: UInt32 = 0
  /// Whether volatile packets may be waiting.
  private(set) var holdsVolatile = false
  private let shard: Int

  init(_ gauge: MemoryGauge, shard: Int) {
    self.gauge = gauge
    self.shard = shard
  }

  /// A volatile packet waits for a client.
  mutating func noteVolatile() {
    guard !holdsVolatile else { return }
    holdsVolatile = true
    gauge.addVolatileHolders(1)
  }

  /// None waits any more, but for those that are begun.
  mutating func noVolatile() {
    holdsVolatile = false
    gauge.addVolatileHolders(-1)
  }

  /// The size of the largest holder, to within a factor of two; 0 where there is none.
  var largestClass: Int { waiting.largestClass }

  /// The connection for which most waits.
  mutating func largest(_ connections: borrowing ConnectionTable) -> UInt32? { waiting.largest(connections.slots) }

  /// The memory of what waits for a connection has changed, or the connection begins to close. What is queued for a
  /// closing connection is still sent while memory is not short, and is counted apart.
  mutating func charge(_ index: UInt32, _ connections: borrowing ConnectionTable) {
    let held = UInt32(clamping: connections[index].pending.memory + Int(connections[index].kernelMemory))
    let isLeaving = connections[index].phase == .closing
    let (waits, leaves): (UInt32, UInt32) = isLeaving ? (0, held) : (held, 0)
    gauge.charge(
      waiting: Int(waits) - Int(connections[index].charged),
      leaving: Int(leaves) - Int(connections[index].chargedLeaving))
    connections[index].charged = waits
    connections[index].chargedLeaving = leaves
    waiting.update(index, connections.slots)
    gauge.publishLargest(waiting.largestClass, of: shard)
  }

  // MARK: What the kernel holds

  /// The kernel is asked at that time.
  mutating func sample(at time: UInt64) { samplingDue = time }

  /// It is asked no more.
  mutating func endSampling() {
    samplingDue = .max
    nextSampled = 0
  }

  /// The connections that it is asked about now, of the first `used`.
  mutating func advanceSampling(used: UInt32) -> Range<UInt32> {
    let start = nextSampled
    let end = min(used, start &+ Limits.kernelMemorySlice)
    nextSampled = end < used ? end : 0
    return start..<max(end, start)
  }

  /// The kernel holds so many bytes for a connection's socket.
  mutating func noteKernelMemory(_ index: UInt32, _ byteCount: UInt32, _ connections: borrowing ConnectionTable) {
    guard connections[index].kernelMemory != byteCount else { return }
    connections[index].kernelMemory = byteCount
    charge(index, connections)
  }
}

#if DEBUG
extension ClientMemory {
  func checkInvariants(_ connections: borrowing ConnectionTable) throws(InvariantViolation) {
    try waiting.checkInvariants(connections.slots, used: connections.used)
    for index in 0..<connections.used {
      let connection = connections[index]
      let held = UInt32(clamping: connection.pending.memory + Int(connection.kernelMemory))
      let charged = connection.phase == .closing ? connection.chargedLeaving : connection.charged
      try require(charged == held, "connection \(index) is charged for \(charged) bytes and holds \(held)")
    }
  }
}
#endif
