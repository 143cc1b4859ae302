/// The control thread's questions to shards, and where their answers go.
///
/// A shard has at most one slice of one question under way, or as many sessions to end as fit into a turn. So an answer
/// always finds room, and however much is asked, no turn becomes longer than one slice makes it. What ends sessions
/// goes first: it waits for one slice of a list, and not for the list.
final class Inquiries {
  private let lines: [ShardLine]
  private let ids: ClientIDs
  private var nextNumber: UInt64 = 0

  init(_ lanes: [QueryLane], _ ids: ClientIDs) {
    lines = lanes.map(ShardLine.init)
    self.ids = ids
  }

  /// Asks every shard, or the one that an id belongs to. `row` gets each line of an answer as it comes, and says
  /// whether it wants more of that shard; `finished` gets how many sessions were ended, once all shards have answered.
  /// No shard gives more than `most` rows. Returns the shards to be woken.
  func ask(
    _ question: ShardQuestion, most: Int = .max, row: @escaping (ShardRow) -> Bool,
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
    end(sessions, { .end(id: $0, reason) }, finished: finished)
  }

  /// The same for as long as the relay accepts nobody.
  func letGo(_ sessions: [UInt64]) -> [Int] { end(sessions, { .letGo(id: $0) }, finished: { _ in }) }

  private func end(
    _ sessions: [UInt64], _ question: @escaping (UInt64) -> ShardQuestion,
    finished: @escaping (_ ended: Int) -> Void
  ) -> [Int] {
    nextNumber += 1
    var ofShard = [[UInt64]](repeating: [], count: lines.count)
    for id in sessions {
      let shard = ids.place(of: id).shard
      if shard < lines.count { ofShard[shard].append(id) }
    }
    let shards = ofShard.indices.filter { !ofShard[$0].isEmpty }
    let inquiry = Inquiry(number: nextNumber, shards: shards.count, row: { _ in false }, finished: finished)
    for shard in shards { lines[shard].add(.ends(inquiry, ofShard[shard], asked: 0, answered: 0, question)) }
    if shards.isEmpty { finished(0) }
    return shards.filter { lines[$0].advance() }
  }

  /// Hands out what shards have answered. Returns the shards to be woken, because more is asked of them.
  func takeReplies() -> [Int] { lines.indices.filter { lines[$0].takeReplies() } }

  private func shards(of question: ShardQuestion) -> [Int] {
    let id: UInt64?
    switch question {
    case .end(let of, _), .letGo(let of): id = of
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
  let row: (ShardRow) -> Bool
  private let finished: (Int) -> Void

  init(number: UInt64, shards: Int, row: @escaping (ShardRow) -> Bool, finished: @escaping (Int) -> Void) {
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

/// What one shard is asked: first what ends sessions, then the rest, each in order.
private final class ShardLine {
  enum Job {
    /// `rowsLeft`: how many rows are still wanted.
    case slices(Inquiry, ShardQuestion, cursor: UInt64, rowsLeft: Int)
    case ends(Inquiry, [UInt64], asked: Int, answered: Int, (UInt64) -> ShardQuestion)

    /// Whether it ends sessions.
    var isAction: Bool {
      switch self {
      case .slices(_, let question, _, _): question.endsSessions
      case .ends: true
      }
    }
  }

  private var requests: RecordProducer<ShardRequest>
  private var replies: RecordConsumer<ShardReply>
  private var actions: [Job] = []
  private var lists: [Job] = []
  /// Requests that have not been answered. All of them are of one job: the first action, or the first list.
  private var underWay = 0
  private var isActing = false

  init(_ lane: QueryLane) {
    requests = RecordProducer(lane.requests)
    replies = RecordConsumer(lane.replies)
  }

  func add(_ job: Job) {
    if job.isAction { actions.append(job) } else { lists.append(job) }
  }

  /// The job that is under way.
  private var current: Job? {
    get { isActing ? actions.first : lists.first }
    set {
      guard let newValue else {
        if isActing { actions.removeFirst() } else { lists.removeFirst() }
        return
      }
      if isActing { actions[0] = newValue } else { lists[0] = newValue }
    }
  }

  /// Asks for more, if nothing is under way. True if the shard has to be woken.
  func advance() -> Bool {
    guard underWay == 0 else { return false }
    isActing = !actions.isEmpty
    guard let job = current else { return false }
    switch job {
    case .slices(let inquiry, let question, let cursor, _):
      push(ShardRequest(number: inquiry.number, question: question, cursor: cursor))
    case .ends(let inquiry, let ids, let asked, let answered, let question):
      let batch = ids[asked..<min(ids.count, asked + Limits.querySlice)]
      for id in batch { push(ShardRequest(number: inquiry.number, question: question(id))) }
      current = .ends(inquiry, ids, asked: batch.endIndex, answered: answered, question)
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
    guard case .slices(let inquiry, let question, let cursor, let rowsLeft)? = current, rowsLeft > 0 else { return }
    let isMoreWanted = inquiry.row(row)
    current = .slices(inquiry, question, cursor: cursor, rowsLeft: isMoreWanted ? rowsLeft - 1 : 0)
  }

  /// A request has been answered.
  private func take(_ next: UInt64?, _ ended: UInt32) {
    switch current {
    case .slices(let inquiry, let question, _, let rowsLeft)?:
      inquiry.add(ended: ended)
      if let next, rowsLeft > 0 {
        current = .slices(inquiry, question, cursor: next, rowsLeft: rowsLeft)
      } else {
        finishJob(inquiry)
      }
    case .ends(let inquiry, let ids, let asked, let answered, let question)?:
      inquiry.add(ended: ended)
      if answered + 1 < ids.count {
        current = .ends(inquiry, ids, asked: asked, answered: answered + 1, question)
      } else {
        finishJob(inquiry)
      }
    case nil: break
    }
  }

  private func finishJob(_ inquiry: Inquiry) {
    current = nil
    inquiry.shardIsDone()
  }
}
