/// The control thread's questions to shards, and where their answers go.
///
/// A shard has at most one slice of one question under way, or as many sessions to end as fit into a turn. So an answer
/// always finds room, and however much is asked, no turn becomes longer than one slice makes it.
final class Inquiries {
  private let lines: [ShardLine]
  private let ids: ClientIDs
  private var nextNumber: UInt64 = 0

  init(_ lanes: [QueryLane], _ ids: ClientIDs) {
    lines = lanes.map(ShardLine.init)
    self.ids = ids
  }

  /// Asks every shard, or the one that an id belongs to. `row` gets each line of an answer as it comes, and `finished`
  /// how many sessions were ended, once all shards have answered. No shard gives more than `most` rows. Returns the
  /// shards to be woken.
  func ask(
    _ question: ShardQuestion, most: Int = .max, row: @escaping (ShardRow) -> Void,
    finished: @escaping (_ ended: Int) -> Void
  ) -> [Int] {
    nextNumber += 1
    let shards = shards(of: question)
    let inquiry = Inquiry(number: nextNumber, shards: shards.count, row: row, finished: finished)
    for shard in shards { lines[shard].add(.slices(inquiry, question, cursor: 0, rowsLeft: most)) }
    if shards.isEmpty { finished(0) }
    return shards.filter { lines[$0].advance() }
  }

  /// Ends sessions for a reason, many in a turn. The same as asking for each.
  func end(
    _ sessions: [UInt64], _ reason: CloseReason, finished: @escaping (_ ended: Int) -> Void
  ) -> [Int] {
    nextNumber += 1
    var ofShard = [[UInt64]](repeating: [], count: lines.count)
    for id in sessions {
      let shard = ids.place(of: id).shard
      if shard < lines.count { ofShard[shard].append(id) }
    }
    let shards = ofShard.indices.filter { !ofShard[$0].isEmpty }
    let inquiry = Inquiry(number: nextNumber, shards: shards.count, row: { _ in }, finished: finished)
    for shard in shards { lines[shard].add(.ends(inquiry, ofShard[shard], asked: 0, answered: 0, reason)) }
    if shards.isEmpty { finished(0) }
    return shards.filter { lines[$0].advance() }
  }

  /// Hands out what shards have answered. Returns the shards to be woken, because more is asked of them.
  func takeReplies() -> [Int] { lines.indices.filter { lines[$0].takeReplies() } }

  private func shards(of question: ShardQuestion) -> [Int] {
    let id: UInt64?
    switch question {
    case .end(let of, _): id = of
    case .clients(let filter), .endAll(let filter, _): id = filter.id
    case .ended, .refused: id = nil
    }
    guard let id else { return Array(lines.indices) }
    return lines.indices.filter { $0 == ids.place(of: id).shard }
  }
}

/// One question, until all shards have answered it.
private final class Inquiry {
  let number: UInt64
  private var shards: Int
  private var ended = 0
  let row: (ShardRow) -> Void
  private let finished: (Int) -> Void

  init(number: UInt64, shards: Int, row: @escaping (ShardRow) -> Void, finished: @escaping (Int) -> Void) {
    self.number = number
    self.shards = shards
    self.row = row
    self.finished = finished
  }

  func add(ended more: UInt32) { ended += Int(more) }

  func shardIsDone() {
    shards -= 1
    if shards == 0 { finished(ended) }
  }
}

/// What one shard is asked, in order: the first job is under way.
private final class ShardLine {
  enum Job {
    /// `rowsLeft`: how many rows are still wanted.
    case slices(Inquiry, ShardQuestion, cursor: UInt64, rowsLeft: Int)
    case ends(Inquiry, [UInt64], asked: Int, answered: Int, CloseReason)
  }

  private var requests: RecordProducer<ShardRequest>
  private var replies: RecordConsumer<ShardReply>
  private var jobs: [Job] = []
  /// Requests that have not been answered.
  private var underWay = 0

  init(_ lane: QueryLane) {
    requests = RecordProducer(lane.requests)
    replies = RecordConsumer(lane.replies)
  }

  func add(_ job: Job) { jobs.append(job) }

  /// Asks for more, if nothing is under way. True if the shard has to be woken.
  func advance() -> Bool {
    guard underWay == 0, let job = jobs.first else { return false }
    switch job {
    case .slices(let inquiry, let question, let cursor, _):
      push(ShardRequest(number: inquiry.number, question: question, cursor: cursor))
    case .ends(let inquiry, let ids, let asked, let answered, let reason):
      let batch = ids[asked..<min(ids.count, asked + Limits.querySlice)]
      for id in batch { push(ShardRequest(number: inquiry.number, question: .end(id: id, reason))) }
      jobs[0] = .ends(inquiry, ids, asked: batch.endIndex, answered: answered, reason)
    }
    return requests.publish()
  }

  private func push(_ request: ShardRequest) {
    // As many as the lane has room for, because nothing is under way.
    requests.push(request)
    underWay += 1
  }

  /// Hands out the answers. True if the shard has to be woken for more.
  func takeReplies() -> Bool {
    var isAsked = false
    while let reply = replies.pop() {
      switch reply {
      case .row(_, let row): take(row)
      case .slice(_, let next, let ended):
        underWay -= 1
        take(next, ended)
        if advance() { isAsked = true }
      }
    }
    return isAsked
  }

  private func take(_ row: ShardRow) {
    guard case .slices(let inquiry, let question, let cursor, let rowsLeft)? = jobs.first, rowsLeft > 0 else { return }
    jobs[0] = .slices(inquiry, question, cursor: cursor, rowsLeft: rowsLeft - 1)
    inquiry.row(row)
  }

  /// A request has been answered.
  private func take(_ next: UInt64?, _ ended: UInt32) {
    switch jobs.first {
    case .slices(let inquiry, let question, _, let rowsLeft)?:
      inquiry.add(ended: ended)
      if let next, rowsLeft > 0 {
        jobs[0] = .slices(inquiry, question, cursor: next, rowsLeft: rowsLeft)
      } else {
        finishJob(inquiry)
      }
    case .ends(let inquiry, let ids, let asked, let answered, let reason)?:
      inquiry.add(ended: ended)
      if answered + 1 < ids.count {
        jobs[0] = .ends(inquiry, ids, asked: asked, answered: answered + 1, reason)
      } else {
        finishJob(inquiry)
      }
    case nil: break
    }
  }

  private func finishJob(_ inquiry: Inquiry) {
    jobs.removeFirst()
    inquiry.shardIsDone()
  }
}
