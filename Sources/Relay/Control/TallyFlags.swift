/// What shards and the firehose let the control thread know of things that may happen very often: they only count them
/// (``Counters``), and raise a flag for the first one that the log has not told. ``Digest`` is the other end.
struct TallyFlags: Sendable {
  private let words: CounterWords

  init(_ arena: Arena) { words = CounterWords(arena, count: Metric.allCases.count) }

  subscript(metric: Metric) -> SharedWord { words[metric.rawValue] }
}
