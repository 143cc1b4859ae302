/// How much memory of one kind all shards together may hold (unfinished packets: `--assembly-budget`; missed packets:
/// `--missed-packets-total`), and which shard has the largest holder: over the budget, the largest is evicted, wherever
/// it is.
struct SharedBudget: Sendable {
  private let chargedBytes: SharedWord
  /// For each shard the size of its largest.
  private let largestOf: CounterWords
  /// Shards that have been asked to evict their largest holder.
  let requests: ShardRequests
  private let shards: Int
  private let limitWord: SharedWord

  init(_ arena: Arena, limit: Int, shards: Int) {
    chargedBytes = SharedWord(arena)
    largestOf = CounterWords(arena, count: shards)
    requests = ShardRequests(arena, shards: shards)
    limitWord = SharedWord(arena)
    self.shards = shards
    self.limit = limit
  }

  /// Only the control thread changes it. If it falls below what is charged, the next charge notices that.
  var limit: Int {
    get { Int(limitWord.relaxed) }
    nonmutating set { limitWord.relaxed = UInt64(newValue) }
  }

  var charged: Int { Int(truncatingIfNeeded: chargedBytes.relaxed) }

  var isExceeded: Bool { charged > limit }

  func charge(_ byteCount: Int) { chargedBytes.add(byteCount) }

  func giveBack(_ byteCount: Int) { chargedBytes.add(-byteCount) }

  /// The largest holder of shard `shard` now holds about `byteCount`.
  func publishLargest(_ byteCount: Int, of shard: Int) { largestOf[shard].relaxed = UInt64(byteCount) }

  func largest(of shard: Int) -> UInt64 { largestOf[shard].relaxed }

  /// The shard with the largest holder.
  func shardWithLargest() -> Int {
    (0..<shards).max { largest(of: $0) < largest(of: $1) } ?? 0
  }
}
