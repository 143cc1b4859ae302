/// Stale sessions of all shards together, so that `--max-stale-clients` is the relay's as a whole.
struct StaleTotals: Sendable {
  private let total: SharedWord
  private let unheard: CounterWords
  /// Shards that are to evict sessions.
  let requests: ShardRequests
  private let shards: Int

  init(_ arena: Arena, shards: Int) {
    total = SharedWord(arena)
    unheard = CounterWords(arena, count: shards)
    requests = ShardRequests(arena, shards: shards)
    self.shards = shards
  }

  var count: Int { Int(truncatingIfNeeded: total.relaxed) }

  /// `unheard` of them are sessions that the backend never heard of.
  func add(_ sessions: Int, unheard change: Int, shard: Int) {
    total.add(sessions)
    unheard[shard].add(change)
  }

  /// A shard with sessions that the backend never heard of.
  func shardWithUnheard() -> Int? { (0..<shards).first { unheard[$0].relaxed > 0 } }
}
