import Synchronization

/// The control thread's account of what happens very often: it reports the first of a kind at once, and after that at
/// most once a second how many there were, until everything has been reported. The numbers are differences of the
/// counters, so they add up to what the counters say.
///
/// A role that counts something raises the flag of its metric, and wakes the control thread if the flag was down. While
/// a line may not be written yet the flag stays up, so that nobody wakes this thread again before the second is over.
/// Once everything has been reported the flag is down, and nothing is due.
struct Digest {
  private let flags: TallyFlags
  private let counters: [Counters]
  private let culprits: [Culprits]
  private let firstSessions: [FirstSessions]
  /// By metric: what was reported, and when the next line is allowed.
  private var told = [UInt64](repeating: 0, count: Metric.allCases.count)
  private var next = [UInt64](repeating: 0, count: Metric.allCases.count)

  init(flags: TallyFlags, counters: [Counters], culprits: [Culprits], firstSessions: [FirstSessions]) {
    self.flags = flags
    self.counters = counters
    self.culprits = culprits
    self.firstSessions = firstSessions
  }

  /// Gives what is due to `body`. Returns when the next line is due; `.max` if nothing was held back.
  mutating func tell(now: UInt64, _ body: (Event) -> Void) -> UInt64 {
    var deadline = UInt64.max
    for (metric, event) in Digest.lines where flags[metric].isRaised {
      if now >= next[metric.rawValue] {
        tell(metric, event, now, body)
      } else {
        deadline = min(deadline, next[metric.rawValue])
      }
    }
    return deadline
  }

  /// Gives everything that is left to `body`.
  mutating func tellRest(_ body: (Event) -> Void) {
    for (metric, event) in Digest.lines { tell(metric, event, 0, body) }
  }

  private mutating func tell(_ metric: Metric, _ event: Line, _ now: UInt64, _ body: (Event) -> Void) {
    _ = flags[metric].takeDown()
    // Anything counted after this finds the flag down; anything counted before is seen below.
    atomicMemoryFence(ordering: .sequentiallyConsistent)
    // Before the counters, which then include everything that is known about culprits.
    let most = most(metric)
    let total = counters.reduce(0) { $0 &+ $1[metric] }
    let count = total &- told[metric.rawValue]
    guard count > 0 else { return }
    told[metric.rawValue] = total
    next[metric.rawValue] = now.adding(Limits.second)
    let known = Known(most: most.map { Most(key: $0.key, count: min($0.count, count)) }, first: first(metric))
    body(event(count, known))
  }

  /// The first session of each role, of which one is as good as another.
  private func first(_ metric: Metric) -> Event.Session? {
    var first: Event.Session?
    for role in firstSessions {
      let session = role.take(metric)
      first = first ?? session
    }
    return first
  }

  /// Whom something happened to, as far as the line says that.
  private struct Known {
    let most: Most?
    let first: Event.Session?
  }

  /// The key that did it most often, across all roles.
  private func most(_ metric: Metric) -> Most? {
    var sums: [UInt64: UInt64] = [:]
    for role in culprits { role.take(metric) { sums[$0, default: 0] += $1 } }
    // The same for the same counts.
    return sums.max { ($0.value, $1.key) < ($1.value, $0.key) }.map(Most.init)
  }

  private struct Most {
    let key: UInt64
    let count: UInt64

    /// An address that did it; unix sockets have none.
    var refused: Event.Most? {
      key == 0 ? nil : Event.Most(address: AddressKey(bits: key), count: count)
    }
  }

  // MARK: Which lines there are

  private typealias Line = @Sendable (_ count: UInt64, Known) -> Event

  private static let lines: [(Metric, Line)] = {
    var lines: [(Metric, Line)] = [
      (.handshakesMalformed, { count, known in .handshakesRefused(count: count, most: known.most?.refused) }),
      (.bans, { count, known in .addressesBanned(AddressKey(bits: known.most?.key ?? 0), count: count) }),
      (.addressesShunned, { count, known in .addressesShunned(AddressKey(bits: known.most?.key ?? 0), count: count) }),
      (.clientsUncounted, { count, _ in .clientsUncounted(count: count) }),
      (
        .acceptPauses,
        { count, known in .acceptPaused(errno: Int32(truncatingIfNeeded: known.most?.key ?? 0), count: count) }
      ),
      (.eventsDropped, { count, _ in .eventsDropped(count: count) }),
    ]
    for reason in RefusalReason.allCases {
      lines.append(
        (reason.metric, { count, known in .clientsRefused(reason, count: count, most: known.most?.refused) }))
    }
    for reason in CloseReason.allCases where reason.isLimit {
      lines.append((reason.metric, { count, known in .sessionsEnded(reason, count: count, first: known.first) }))
    }
    for budget in Event.Budget.allCases {
      lines.append((budget.metric, { count, known in .budgetExceeded(budget, count: count, first: known.first) }))
    }
    for rate in ClientRate.allCases {
      lines.append((rate.metric, { count, known in .clientsSlowed(rate, count: count, first: known.first) }))
    }
    for what in Event.MalformedPacket.allCases {
      lines.append((what.metric, { count, known in .backendMalformed(what, count: count, id: known.most?.key) }))
    }
    return lines
  }()
}
