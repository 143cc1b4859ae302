/// What arrived in time counts as in time. A turn handles a limited number of completions and bytes. If more had
/// arrived by the time a deadline was found to be due, that is handled first, and only then is a client late.
struct CatchUp {
  enum Step {
    case none
    /// The kernel had more to say than a turn takes.
    case completions
    /// The kernel has reported everything. Connections that were on the lists by then, up to these places, have yet to
    /// be read.
    case lists(clients: UInt32, others: UInt32)
  }

  private(set) var step = Step.none
  /// When something was found to be due.
  private(set) var since: UInt64 = 0

  /// Something is due.
  mutating func begin(now: UInt64) {
    guard case .none = step else { return }
    step = .completions
    since = now
  }

  /// The kernel has reported everything: the lists are next, up to these places.
  mutating func readLists(clients: UInt32, others: UInt32) { step = .lists(clients: clients, others: others) }

  mutating func end() { step = .none }
}

extension Shard where K: ~Copyable {
  /// Whether a client may be late.
  @inline(__always)
  mutating func isDue(_ now: UInt64) -> Bool {
    if wheel.isDue(now: now) { return true }
    if let oldest = stale.oldest { return staleExpiry(oldest) <= now }
    return false
  }

  /// The time up to which everything that arrived has been looked at, once something is due by it; nil while the turns
  /// still catch up. Catching up is one round through the lists, and so one receive of each connection: a client that
  /// floods the relay cannot make it longer.
  @inline(never)
  mutating func caughtUp(_ kernel: borrowing K) -> UInt64? {
    catchUp.begin(now: kernel.now)
    if case .completions = catchUp.step {
      guard kernel.hasBroughtAll && nextToPoll == .none || kernel.now &- catchUp.since >= Limits.catchUp else {
        return nil
      }
      catchUp.readLists(clients: lists.clients.appended, others: lists.others.appended)
    }
    guard case .lists(let clients, let others) = catchUp.step else { return nil }
    // While clients are not read their clock stands still.
    let isThrough =
      lists.others.isPast(others, connections) && (lists.clients.isPast(clients, connections) || readingClock.isStopped)
    // If a round takes longer than this, a flood is the cause.
    guard isThrough || kernel.now &- catchUp.since >= 2 * Limits.catchUp else { return nil }
    catchUp.end()
    return catchUp.since
  }

  /// Ends what is late.
  @inline(never)
  mutating func expire(by time: UInt64, _ kernel: inout K) {
    while let index = wheel.nextDue(now: time, connections) { expired(index, by: time, &kernel) }
    if let oldest = stale.oldest, staleExpiry(oldest) <= time { expireStale(by: time, &kernel) }
  }

  /// Whether a connection that is late has more in its socket than one receive took, which is read first. There is a
  /// limit to that: a client may send a byte again and again.
  func isStillRead(_ index: UInt32, deadline: UInt64, by time: UInt64) -> Bool {
    connections[index].list != .none && time &- deadline < Limits.catchUp
  }
}
