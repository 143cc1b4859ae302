/// Which keys did most of what a role has counted since the last log line: for each metric, the few that did it most
/// often.
///
/// A count belongs to one of a few places, by its key: an address, or an error number. A key without a place takes over
/// the place with the lowest count and continues from it, remembering how much of it was others'. So a key that did
/// more than a fair share always has a place, and what is reported of it is never too much ("space-saving").
///
///     +------+-----+-------+--------+----- - - ---+
///     | lock | key | count | others | 3 more      |  one metric
///     +------+-----+-------+--------+----- - - ---+
///
/// The role writes and the control thread takes. Neither waits for the lock: the other side holds it so briefly that
/// only a few counts are missed, which are then attributed to no one.
struct Culprits: Sendable {
  private static let places = 4
  private static let stride = 1 + 3 * places
  private let words: CounterWords

  init(_ arena: Arena) { words = CounterWords(arena, count: Metric.allCases.count * Culprits.stride) }

  func note(_ key: UInt64, _ metric: Metric) {
    let lock = metric.rawValue &* Culprits.stride
    guard words[lock].replace(0, by: 1) else { return }
    defer { words[lock].published = 0 }
    var least = lock &+ 1
    for number in 0..<Culprits.places {
      let place = lock &+ 1 &+ 3 &* number
      let count = words[place &+ 1].relaxed
      if count > 0, words[place].relaxed == key {
        words[place &+ 1].relaxed = count &+ 1
        return
      }
      if count < words[least &+ 1].relaxed { least = place }
    }
    words[least &+ 2].relaxed = words[least &+ 1].relaxed
    words[least &+ 1].relaxed = words[least &+ 1].relaxed &+ 1
    words[least].relaxed = key
  }

  /// Gives each key that has a place to `body`, with the least that it did, and starts again.
  func take(_ metric: Metric, _ body: (_ key: UInt64, _ count: UInt64) -> Void) {
    let lock = metric.rawValue * Culprits.stride
    guard words[lock].replace(0, by: 1) else { return }
    defer { words[lock].published = 0 }
    for number in 0..<Culprits.places {
      let place = lock + 1 + 3 * number
      if words[place + 1].relaxed > 0 {
        body(words[place].relaxed, words[place + 1].relaxed - words[place + 2].relaxed)
      }
      words[place + 1].relaxed = 0
    }
  }
}
