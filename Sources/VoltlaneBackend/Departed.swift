/// Clients whose end was told, so that each is told once: a relay answers every packet that was on its way to one.
struct Departed {
  /// The ids, to be found quickly.
  private var ids: Set<UInt64> = []
  /// The same, the oldest at `next` once there are as many as are remembered.
  private var order: [UInt64] = []
  private var next = 0

  /// What the relay says of an id that is no session of its.
  private static let answer = "unknown client"

  /// Whether this failure is to be told.
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
