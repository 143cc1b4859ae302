/// Lists of sessions that somebody has asked for: each goes through all that the shards have, a slice a turn.
///
/// One is made at a time, and after each the shards rest for three times as long as it took: whoever asks without end
/// takes a quarter of the turns at most. What ends sessions waits for none of them.
final class ListQueue {
  typealias List = (_ finished: @escaping () -> Void) -> Void

  private struct Waiting {
    let list: List
    /// nil: somebody who always waits.
    let asker: Asker?
  }

  private var waiting: [Waiting] = []
  private var isMaking = false
  private var restUntil: ContinuousClock.Instant

  /// Of those that commands ask for, no more wait at a time.
  static let most = 16
  private static let rest = 3
  /// Also after a list that took long, because a shard did not get round to it.
  private static let longestRest = Duration.seconds(1)

  init(now: ContinuousClock.Instant = .now) { restUntil = now }

  /// Whether so many wait that another one would come too late.
  var isFull: Bool {
    dropUnwanted()
    return waiting.count >= Self.most
  }

  /// `list` has to call what it is given once it is there, on the same thread. It is not begun if whoever asked has
  /// left when it is its turn.
  func add(for asker: Asker? = nil, _ list: @escaping List) {
    waiting.append(Waiting(list: list, asker: asker))
  }

  private func dropUnwanted() { waiting.removeAll { $0.asker.map { !$0.isThere } ?? false } }

  /// How long until ``advance(now:)`` has something to do; nil if it has nothing, or only after a list is there.
  func wait(now: ContinuousClock.Instant = .now) -> Duration? {
    isMaking || waiting.isEmpty ? nil : max(.zero, now.duration(to: restUntil))
  }

  /// Begins the next one, if it is time.
  func advance(now: ContinuousClock.Instant = .now, clock: @escaping () -> ContinuousClock.Instant = { .now }) {
    guard !isMaking, !waiting.isEmpty, now >= restUntil else { return }
    dropUnwanted()
    guard !waiting.isEmpty else { return }
    isMaking = true
    let next = waiting.removeFirst()
    next.list { [self] in
      let end = clock()
      isMaking = false
      restUntil = end + min(now.duration(to: end) * Self.rest, Self.longestRest)
    }
  }
}
