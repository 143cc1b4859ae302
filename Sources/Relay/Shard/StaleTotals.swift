/// Stale sessions of all shards together, so that `--max-stale-clients` is the relay's as a whole.
struct StaleTotals: Sendable {
  private let total: SharedWord
  private let unheard: CounterWords
  private let requests: CounterWords
  private let shards: Int

  init(_ arena: Arena, shards: Int) {
    total = SharedWord(arena)
    unheard = CounterWords(arena, count: shards)
    requests = CounterWords(arena, count: shards)
    self.shards = shards
  }

  var count: Int { Int(total.relaxed) }

  /// `unheard` of them are sessions that the backend never heard of.
  func add(_ sessions: Int, unheard change: Int, shard: Int) {
    total.add(sessions)
    unheard[shard].add(change)
  }

  /// A shard with sessions that the backend never heard of.
  func shardWithUnheard() -> Int? { (0..<shards).first { unheard[$0].relaxed > 0 } }

  func requestEviction(of shard: Int) { requests[shard].relaxed = 1 }

  @inline(__always)
  func hasRequest(_ shard: Int) -> Bool { requests[shard].relaxed != 0 }

  @inline(__always)
  func takeRequest(_ shard: Int) -> Bool {
    guard requests[shard].relaxed != 0 else { return false }
    requests[shard].relaxed = 0
    return true
  }
}
