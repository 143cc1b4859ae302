/// What the relay holds for clients, on all shards together, compared with `--memory-budget`: the memory of unfinished
/// packets, of missed packets, and of those that wait for clients; what the kernel holds for them if that could matter;
/// and a flat amount for each connection and each stale session. Memory counts as a whole, however much of it is
/// filled.
struct MemoryGauge: Sendable {
  private let unfinished: SharedBudget
  private let missed: SharedBudget
  private let waiting: SharedWord
  private let leaving: SharedWord
  private let clients: SharedWord
  private let volatileShards: SharedWord
  private let stale: StaleTotals
  /// For each shard, the size of the largest queue of a client, to within a factor of two.
  private let largestWaiting: CounterWords
  private let shards: Int
  private let budgetWord: SharedWord
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
    volatileShards = SharedWord(arena)
    self.stale = stale
    largestWaiting = CounterWords(arena, count: shards)
    self.shards = shards
    budgetWord = SharedWord(arena)
    tight = SharedWord(arena)
    short = SharedWord(arena)
    setBudget(budget)
  }

  /// Called only by the control thread.
  func setBudget(_ budget: Int) {
    budgetWord.relaxed = UInt64(budget)
    tight.relaxed = UInt64(budget / 100 * 85)
    short.relaxed = UInt64(budget / 100 * 95)
  }

  var budget: Int { Int(budgetWord.relaxed) }

  /// What waits for clients, and what is still being sent to connections that are closing.
  @inline(__always) var waitingBytes: Int { Int(waiting.relaxed) }
  @inline(__always) var leavingBytes: Int { Int(leaving.relaxed) }

  @inline(__always) var used: Int {
    unfinished.charged &+ missed.charged &+ waitingBytes &+ Int(clients.relaxed) &* Limits.connectionMemory
      &+ stale.count &* Limits.staleMemory
  }

  /// The same, plus what is still being sent to connections that are closing.
  @inline(__always) var held: Int { used &+ leavingBytes }

  /// Nobody new is admitted.
  var isTight: Bool { held >= Int(tight.relaxed) }

  /// Half of what would make it tight is used.
  var isHalfTight: Bool { held >= Int(tight.relaxed) / 2 }

  /// Sessions have to end.
  @inline(__always) var isShort: Bool { held >= Int(short.relaxed) }

  /// All of the budget is used.
  var isUsedUp: Bool { held >= budget }

  /// How many shards may have volatile packets to drop.
  var volatileHolders: Int { Int(truncatingIfNeeded: volatileShards.relaxed) }

  func addVolatileHolders(_ count: Int) { volatileShards.add(count) }

  /// Whether nobody new would be admitted if the kernel held that much for each client.
  func couldBeTight(perClient byteCount: Int) -> Bool {
    held &+ Int(clients.relaxed) &* byteCount >= Int(tight.relaxed)
  }

  /// The memory of what waits for clients has changed, or of what is queued for those that are closing.
  func charge(waiting byteCount: Int, leaving leavingCount: Int) {
    if byteCount != 0 { waiting.add(byteCount) }
    if leavingCount != 0 { leaving.add(leavingCount) }
  }

  func publishLargest(_ byteCount: Int, of shard: Int) { largestWaiting[shard].relaxed = UInt64(byteCount) }

  /// What the largest holder of a shard holds, to within a factor of two; 0 if nobody holds anything.
  func largest(of shard: Int) -> Int {
    Int(max(largestWaiting[shard].relaxed, unfinished.largest(of: shard), missed.largest(of: shard)))
  }

  /// The shard with the largest holder overall.
  func shardWithLargest() -> Int {
    (0..<shards).max { largest(of: $0) < largest(of: $1) } ?? 0
  }
}
