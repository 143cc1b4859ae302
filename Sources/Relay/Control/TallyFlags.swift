/// How shards and the firehose tell the control thread about things that may happen very often: they only count them
/// (``Counters``), and raise a flag for the first one that is not in the log yet. ``Digest`` is the other end.
struct TallyFlags: Sendable {
  private let words: CounterWords

  init(_ arena: Arena) { words = CounterWords(arena, count: Metric.allCases.count) }

  subscript(metric: Metric) -> SharedWord { words[metric.rawValue] }
}
