/// What any shard may ask of another, where only that one can do it. Asking twice before it is taken is asking once.
struct ShardRequests: Sendable {
  private let words: CounterWords

  init(_ arena: Arena, shards: Int) { words = CounterWords(arena, count: shards) }

  func ask(_ shard: Int) { words[shard].relaxed = 1 }

  @inline(__always)
  func isAsked(_ shard: Int) -> Bool { words[shard].relaxed != 0 }

  /// Whether `shard` was asked. Clears the request.
  @inline(__always)
  func take(_ shard: Int) -> Bool {
    guard isAsked(shard) else { return false }
    words[shard].relaxed = 0
    return true
  }
}
