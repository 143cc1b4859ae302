/// Which thread hosts the firehose.
public enum FirehoseCore: String, Sendable {
  /// A thread of its own.
  case own
  /// The thread of the first shard: a lone round trip then takes two sleeps and no doorbell, instead of four and two.
  case shared
  /// The thread of the first shard, until another one is better.
  case moving
}
