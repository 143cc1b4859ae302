/// Which thread hosts the firehose.
public enum FirehoseCore: String, Sendable, CaseIterable {
  /// A thread of its own, which pays from three CPUs on.
  case own
  /// The thread of the first shard: a lone round trip then takes two sleeps and no doorbell, instead of four and two.
  case shared
}
