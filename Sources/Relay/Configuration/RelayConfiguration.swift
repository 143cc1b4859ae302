/// Everything that decides how a relay behaves, with nothing left to be found out: what was `auto` for the operator is
/// a number here. Sizes and budgets are bytes, and the relay's as a whole unless they say "a client".
public struct RelayConfiguration: Sendable {
  /// Where clients connect; at least one. Every shard accepts on each.
  public var listeners: [Endpoint]

  /// What the firehose dials.
  public var backend: Endpoint

  /// How many shards share the clients.
  public var shards = 1

  /// Which thread hosts the firehose.
  public var firehoseCore = FirehoseCore.shared

  /// With a CPU for each, the shards are pinned to these in this order, then the firehose where it has its own thread.
  /// With fewer, nothing is pinned: two threads that share a CPU would wait for each other. Empty: nothing is pinned.
  public var cpus: [Int] = []

  /// Threads that check keys, derive session keys and seal and open challenges.
  public var handshakeWorkers = 1

  /// The largest packet that a client may send or be sent, without the size prefix, and without the 9 bytes of the tag
  /// that it travels with on the firehose. By default it has exactly 8 MiB with its tag.
  public var maxPacketSize = 8_388_599

  /// What may wait for one client that reads too slowly: a packet is taken while less than this waits, else the client
  /// ends with `buffer overflow`.
  public var clientSendBuffer = 1024 * 1024

  /// How long a packet may take from its first byte to its last. The relay's own pauses don't count.
  public var packetTimeout: Duration = .seconds(30)

  /// What unfinished packets of all clients may hold together; over it, the largest ends its client with `memory`. At
  /// least ``maxPacketSize``, so that one packet of legal size always fits.
  public var assemblyBudget = 256 * 1024 * 1024

  /// The congestion control of every TCP socket, by the kernel's name for it; nil leaves the system's.
  public var congestionControl: String?

  /// How long a drain may take until what is still queued is given up.
  public var shutdownTimeout: Duration = .seconds(5)

  /// Less important events are not even posted.
  public var eventLevel = Event.Level.info

  /// A relay between `listeners` and `backend`, with the defaults above.
  public init(listeners: [Endpoint], backend: Endpoint) {
    self.listeners = listeners
    self.backend = backend
  }
}

/// What a relay can be configured to. Who builds a ``RelayConfiguration`` checks it against these.
extension RelayConfiguration {
  /// An id has room for shard and slot together, so shards are not without number.
  public static let shardRange = 1...256
  public static let handshakeWorkerRange = 1...64

  /// A packet's memory comes in one piece, and with its tag its size is a u32 on the firehose: a GiB stays far from
  /// both ends of what can be done.
  public static let maxPacketSizeRange = 1...(1 << 30)
  /// A terabyte is more than any machine of today has for one client; it keeps sums of sizes within an Int.
  public static let budgetRange = 1...(1 << 40)

  /// A packet that takes a day is no packet.
  public static let packetTimeoutRange = Duration.milliseconds(1)...Duration.seconds(24 * 60 * 60)
  /// Zero gives up at once what is queued.
  public static let shutdownTimeoutRange = Duration.zero...Duration.seconds(60 * 60)
}
