/// What any shard may ask of another, where only that one can do it. Asking twice before it is taken is asking once.
struct ShardRequests: Sendable {
  private let words: CounterWords

  init(_ arena: Arena, shards: Int) { words = CounterWords(arena, count: shards) }

  /// Whoever takes the request sees what the caller has written before it.
  func ask(_ shard: Int) { words[shard].published = 1 }

  @inline(__always)
  func isAsked(_ shard: Int) -> Bool { words[shard].relaxed != 0 }

  /// Whether `shard` was asked. Clears the request, in one step: a request that arrives between a look and a store
  /// would be overwritten.
  @inline(__always)
  func take(_ shard: Int) -> Bool { isAsked(shard) && words[shard].takeDown() }
}
