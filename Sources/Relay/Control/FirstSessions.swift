/// For each metric, one session of those that a role has counted since the last log line: the first. A line that stands
/// for many so has the id of one of them, by which the backend's log, or the relay's own at `debug`, says more.
///
///     +-------+----+---------+
///     | taken | id | address |  one metric
///     +-------+----+---------+
///
/// The role writes where nothing is, and the control thread takes: neither waits. A session that is counted in the very
/// moment of a line may go into the next one.
struct FirstSessions: Sendable {
  private static let stride = 3
  private let words: CounterWords

  init(_ arena: Arena) { words = CounterWords(arena, count: Metric.allCases.count * FirstSessions.stride) }

  func note(_ session: Event.Session, _ metric: Metric) {
    let start = metric.rawValue &* FirstSessions.stride
    guard words[start].published == 0 else { return }
    words[start &+ 1].relaxed = session.id
    words[start &+ 2].relaxed = session.address.bits
    words[start].published = 1
  }

  /// nil if there is none. The next one is noted again.
  func take(_ metric: Metric) -> Event.Session? {
    let start = metric.rawValue * FirstSessions.stride
    guard words[start].published != 0 else { return nil }
    let session = Event.Session(id: words[start + 1].relaxed, address: AddressKey(bits: words[start + 2].relaxed))
    words[start].published = 0
    return session
  }
}
