/// What the relay holds for clients, all shards together, against `--memory-budget`: the memory of unfinished packets,
/// of missed ones, and of those that wait for clients; what the kernel holds for them where that could matter; and a
/// flat sum for each connection and each stale session. What counts is memory, not how much of it is filled.
struct MemoryGauge: Sendable {
  private let unfinished: SharedBudget
  private let missed: SharedBudget
  private let waiting: SharedWord
  private let leaving: SharedWord
  private let clients: SharedWord
  private let stale: StaleTotals
  /// For each shard the size of what waits for the client for whom most does, to within a factor of two.
  private let largestWaiting: CounterWords
  private let shards: Int
  private let tight: SharedWord
  private let short: SharedWord

  init(
    _ arena: Arena, budget: Int, unfinished: SharedBudget, missed: SharedBudget, clients: SharedWord,
    stale: StaleTotals, shards: Int
  ) {
    self.unfinished = unfinished
    self.missed = missed
    waiting = SharedWord(arena)
    leaving = SharedWord(arena)
    self.clients = clients
    self.stale = stale
    largestWaiting = CounterWords(arena, count: shards)
    self.shards = shards
    tight = SharedWord(arena)
    short = SharedWord(arena)
    setBudget(budget)
  }

  /// Called by the control thread alone.
  func setBudget(_ budget: Int) {
    tight.relaxed = UInt64(budget / 100 * 85)
    short.relaxed = UInt64(budget / 100 * 95)
  }

  /// What waits for clients, and what is still sent to connections that are being closed.
  @inline(__always) var waitingBytes: Int { Int(waiting.relaxed) }
  @inline(__always) var leavingBytes: Int { Int(leaving.relaxed) }

  @inline(__always) var used: Int {
    unfinished.charged &+ missed.charged &+ waitingBytes &+ Int(clients.relaxed) &* Limits.connectionMemory
      &+ stale.count &* Limits.staleMemory
  }

  /// The same with what is still sent to connections that are being closed.
  @inline(__always) var held: Int { used &+ leavingBytes }

  /// Nobody new is let in.
  var isTight: Bool { held >= Int(tight.relaxed) }

  /// Half of what makes it tight is used.
  var isHalfTight: Bool { held >= Int(tight.relaxed) / 2 }

  /// Sessions have to end.
  @inline(__always) var isShort: Bool { held >= Int(short.relaxed) }

  /// Whether nobody new would be let in if the kernel held that much for each client.
  func couldBeTight(perClient byteCount: Int) -> Bool {
    held &+ Int(clients.relaxed) &* byteCount >= Int(tight.relaxed)
  }

  /// The memory of what waits for clients has changed, or of what is queued for those that are being closed.
  func charge(waiting byteCount: Int, leaving leavingCount: Int) {
    if byteCount != 0 { waiting.add(byteCount) }
    if leavingCount != 0 { leaving.add(leavingCount) }
  }

  func publishLargest(_ byteCount: Int, of shard: Int) { largestWaiting[shard].relaxed = UInt64(byteCount) }

  /// What the largest holder of a shard holds, to within a factor of two; 0 where nobody holds anything.
  func largest(of shard: Int) -> Int {
    Int(max(largestWaiting[shard].relaxed, unfinished.largest(of: shard), missed.largest(of: shard)))
  }

  /// The shard with the largest holder of all.
  func shardWithLargest() -> Int {
    (0..<shards).max { largest(of: $0) < largest(of: $1) } ?? 0
  }
}
