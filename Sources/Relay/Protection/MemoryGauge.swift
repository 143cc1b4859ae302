/// What the relay holds for clients, all shards together, against `--memory-budget`: unfinished packets, missed ones,
/// those that wait for slow readers, and a flat sum for each connection and each stale session. The system's own
/// buffers are the system's to bound.
struct MemoryGauge: Sendable {
  private let unfinished: SharedBudget
  private let missed: SharedBudget
  private let waiting: SharedWord
  private let leaving: SharedWord
  private let clients: SharedWord
  private let stale: StaleTotals
  /// For each shard, since when its slowest reader has taken nothing; 0 where it has none.
  private let slowestOf: CounterWords
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
    slowestOf = CounterWords(arena, count: shards)
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

  var used: Int {
    unfinished.charged &+ missed.charged &+ Int(waiting.relaxed) &+ Int(clients.relaxed) &* Limits.connectionMemory
      &+ stale.count &* Limits.staleMemory
  }

  /// The same with what is still sent to connections that are being closed. To end others would not make that less.
  var held: Int { used &+ Int(leaving.relaxed) }

  /// Nobody new is let in.
  var isTight: Bool { held >= Int(tight.relaxed) }

  /// Sessions have to end.
  @inline(__always) var isShort: Bool { used >= Int(short.relaxed) }

  /// What waits for slow readers has changed, or for those that are being closed.
  func charge(waiting byteCount: Int, leaving leavingCount: Int) {
    if byteCount != 0 { waiting.add(byteCount) }
    if leavingCount != 0 { leaving.add(leavingCount) }
  }

  func publishSlowest(since: UInt64?, of shard: Int) { slowestOf[shard].relaxed = since ?? 0 }

  /// The shard whose slowest reader is the slowest of all.
  func shardWithSlowest() -> Int? {
    (0..<shards).filter { slowestOf[$0].relaxed > 0 }.min { slowestOf[$0].relaxed < slowestOf[$1].relaxed }
  }
}
