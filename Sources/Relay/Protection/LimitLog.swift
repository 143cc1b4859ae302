/// What limits do is told to the log once a second for each reason, however many they do it to.
struct LimitLog: Sendable {
  private let refusals: [SharedRateLimit]
  private let endings: [SharedRateLimit]
  private let budgets: [SharedRateLimit]
  private let rates: [SharedRateLimit]
  let bans: SharedRateLimit
  let shunned: SharedRateLimit
  let uncounted: SharedRateLimit
  let pauses: SharedRateLimit

  init(_ arena: Arena) {
    refusals = RefusalReason.allCases.map { _ in SharedRateLimit(arena) }
    endings = CloseReason.allCases.map { _ in SharedRateLimit(arena) }
    budgets = Event.Budget.allCases.map { _ in SharedRateLimit(arena) }
    rates = ClientRate.allCases.map { _ in SharedRateLimit(arena) }
    bans = SharedRateLimit(arena)
    shunned = SharedRateLimit(arena)
    uncounted = SharedRateLimit(arena)
    pauses = SharedRateLimit(arena)
  }

  subscript(reason: RefusalReason) -> SharedRateLimit { refusals[Int(reason.rawValue)] }
  subscript(reason: CloseReason) -> SharedRateLimit { endings[Int(reason.rawValue)] }
  subscript(rate: ClientRate) -> SharedRateLimit { rates[Int(rate.rawValue)] }
  subscript(budget: Event.Budget) -> SharedRateLimit { budgets[Int(budget.rawValue)] }
}
