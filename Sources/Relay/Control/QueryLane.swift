/// The two lanes between the control thread and one shard, which stay the shard's wherever it runs.
///
/// Invariant: the control thread asks only for what the lane of replies has room for, besides everything that it is
/// still owed; so a shard that has a request always has room to answer it.
struct QueryLane: Sendable {
  let requests: RecordLane<ShardRequest>
  let replies: RecordLane<ShardReply>

  init(_ arena: Arena) {
    requests = RecordLane(arena, capacity: Limits.queryLane)
    replies = RecordLane(arena, capacity: 2 * Limits.queryLane)
  }
}

/// A shard's end of its ``QueryLane``.
struct ShardQueries: ~Copyable {
  private var requests: RecordConsumer<ShardRequest>
  private var replies: RecordProducer<ShardReply>

  init(_ lane: QueryLane) {
    requests = RecordConsumer(lane.requests)
    replies = RecordProducer(lane.replies)
  }

  /// Whether there is a request to answer.
  @inline(__always) var isAsked: Bool { requests.hasNew }

  /// The next request, if the rest of a turn's share is enough for all that may have to be answered.
  mutating func take(share: Int) -> ShardRequest? {
    guard requests.available() > 0, requests.first.question.share <= share else { return nil }
    defer { _ = requests.release() }
    return requests.take()
  }

  /// A reply that finds no room is lost, which the invariant of ``QueryLane`` excludes.
  mutating func push(_ reply: ShardReply) {
    if replies.hasRoom() { replies.push(reply) }
  }

  /// True if there is something new for the control thread.
  mutating func publish() -> Bool { replies.publish() }
}

extension ShardQuestion {
  /// How much of a turn's share a slice of the answer takes: it is at least the number of rows.
  var share: Int {
    switch self {
    case .end, .letGo: 1
    case .clients, .endAll, .ended, .refused: Limits.querySlice
    }
  }
}
