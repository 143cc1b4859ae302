/// Clients whose end was reported, so that each is reported once: a relay answers every packet that was on its way to
/// such a client.
struct Departed {
  /// The ids, for a quick search.
  private var ids: Set<UInt64> = []
  /// The same ids; once the list is full, the oldest is at `next`.
  private var order: [UInt64] = []
  private var next = 0

  /// What the relay says about an id that is not a session.
  private static let answer = "unknown client"

  /// Whether to report this failure.
  mutating func isNews(_ id: UInt64, reason: String) -> Bool {
    guard ids.insert(id).inserted else { return reason != Self.answer }
    if order.count < BackendLimits.departed {
      order.append(id)
    } else {
      ids.remove(order[next])
      order[next] = id
      next = (next + 1) % order.count
    }
    return true
  }
}
