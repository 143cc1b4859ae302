import Relay

/// Lets clients go one by one, spread over a time, before the relay shuts down: so that wherever they go next does not
/// get all of them at once. Those that have been idle for the longest go first.
///
/// The time is divided into rounds. Each begins with a list of the sessions, from which its share is chosen, so that
/// who is idle is never judged by what was so much earlier.
final class GradualDrain {
  private let relay: Relay
  let time: Duration
  private var left: TimeLeft
  /// Sessions that were asked to go. Some cannot yet, and must not take the place of others in the next round.
  private var asked: Set<UInt64> = []
  /// Sessions that this round lets go, in order, and how many of them have been.
  private var chosen: [UInt64] = []
  private var gone = 0
  private var round = -1
  private var isListing = false
  /// Whether the last list was empty.
  private var isEmpty = false
  /// The relay accepts again, and what is still answered does not count.
  private var isOver = false

  private static let rounds = 10
  /// How often some are let go.
  private static let tick = Duration.milliseconds(50)

  init(_ relay: Relay, over time: Duration) {
    self.relay = relay
    self.time = time
    left = TimeLeft(time)
  }

  /// Whether the rest is the orderly end's.
  var isDone: Bool { left.isOver || isEmpty && round >= 0 }

  /// How long it goes on at most.
  var timeLeft: Duration { max(.zero, left.left) }

  /// How long until ``advance()`` has something to do.
  var wait: Duration { min(gone < chosen.count ? Self.tick : timeUntilNextRound, left.wait) }

  /// How much of the time has passed, in rounds.
  private var passed: Double {
    guard time > .zero else { return Double(Self.rounds) }
    return min(1, max(0, 1 - left.left / time)) * Double(Self.rounds)
  }

  private var timeUntilNextRound: Duration {
    max(Self.tick, time * (Double(round + 1) - passed) / Double(Self.rounds))
  }

  /// Does what is due.
  func advance() {
    left.look()
    guard !isDone, !isOver else { return }
    letGo()
    if !isListing, Int(passed) > round { beginRound(Int(passed)) }
  }

  /// Lets nobody go any more.
  func stop() { isOver = true }

  private func letGo() {
    guard gone < chosen.count else { return }
    let share = min(1, max(0, passed - Double(round)))
    let due = Int(Double(chosen.count) * share)
    guard due > gone else { return }
    let next = chosen[gone..<min(due, chosen.count)]
    gone = next.endIndex
    asked.formUnion(next)
    relay.letGo(Array(next))
  }

  private func beginRound(_ number: Int) {
    // Those of the last round that were not let go yet are in the list.
    chosen = []
    gone = 0
    isListing = true
    var sessions: [(id: UInt64, idle: UInt64)] = []
    relay.ask(.clients(ClientFilter())) { row in
      if case .client(let client) = row { sessions.append((client.id, client.idle)) }
    } finished: { [weak self] _ in
      self?.choose(from: &sessions, round: number)
    }
  }

  private func choose(from sessions: inout [(id: UInt64, idle: UInt64)], round number: Int) {
    isListing = false
    round = number
    isEmpty = sessions.isEmpty
    sessions.removeAll { asked.contains($0.id) }
    let roundsLeft = max(1, Self.rounds - number)
    let share = (sessions.count + roundsLeft - 1) / roundsLeft
    sessions.sort { ($1.idle, $0.id) < ($0.idle, $1.id) }
    chosen = sessions.prefix(share).map(\.id)
  }
}
