@_exported import VoltlaneText
import VoltlaneWire

/// Everything that decides how a relay behaves, with nothing left to be found out: what was `auto` for the operator is
/// a number here. Sizes and budgets are bytes, and the relay's as a whole unless they say "a client".
public struct RelayConfiguration: Sendable {
  /// Where clients connect; at least one. Every shard accepts on each.
  public var listeners: [Endpoint]

  /// Who may connect to unix listeners: the permissions of their files, exactly; nil: what the process's umask leaves.
  public var unixSocketMode: UInt16?
  /// The group of the files of unix listeners, by its number; nil: the process's.
  public var unixSocketGroup: UInt32?

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
  public var maxPacketSize = Wire.defaultMaxPacketSize

  /// What may wait for one client that reads too slowly: a packet is taken while less than this waits, else the client
  /// ends with `buffer overflow`. While more than half of it waits, until less than a quarter does, the client is not
  /// read. As large as a packet of the largest size: clients in the field send thousands of requests before they read
  /// the first answer.
  public var clientSendBuffer = 8 * 1024 * 1024

  /// What the kernel is to receive of one client ahead of the relay; it may take twice that of memory. Measured: with
  /// 100 clients that have 1 MiB under way, in packets of 16 KiB, 1 MiB here cost 0.8 to 0.9 of what 128 KiB do. With
  /// 2,000 such clients 256 KiB and more took the kernel's memory for TCP, and all connections came to a crawl.
  public var clientReceiveBuffer = 128 * 1024

  /// How long a packet may take from its first byte to its last. The relay's own pauses don't count.
  public var packetTimeout: Duration? = .seconds(30)

  /// What unfinished packets of all clients may hold together; over it, the largest ends its client with `memory`. At
  /// least ``maxPacketSize``, so that one packet of legal size always fits.
  public var assemblyBudget = 256 * 1024 * 1024

  /// How long a session that has lost its socket may wait for its client to come back, from the loss on; attempts to
  /// come back don't stop the clock. Zero: it ends at once.
  public var staleTimeout: Duration = .seconds(5 * 60)

  /// How many sessions of the relay may be stale, that is, without a socket. At the limit another one must go first.
  public var maxStaleClients = 65_535

  /// What is kept for one stale client, in bytes, each packet counting 4 more than its data: a packet is taken while
  /// less than this is there, else the session ends with `buffer overflow`. Zero: the first packet ends it.
  public var missedPacketsBuffer = 64 * 1024

  /// What is kept for all stale clients together; over it, the one that holds most ends with `memory`. At least
  /// ``maxPacketSize`` and its 4 bytes, so that one packet of legal size always fits.
  public var missedPacketsTotal = 256 * 1024 * 1024

  /// How long a client that shut its sending side is still written to before its session becomes stale.
  public var halfCloseTimeout: Duration = .seconds(5)

  /// How long a TCP connection, a client's or the firehose, may be silent before the kernel probes whether the other
  /// side is still there. Whole seconds; zero: it is never probed.
  public var keepalive: Duration = .seconds(30)

  /// How long what was sent to a client may stay unacknowledged, or its window closed, before the kernel gives the
  /// connection up. Zero: the kernel's own limit, a quarter of an hour or more.
  public var tcpUserTimeout: Duration = .seconds(60)

  /// How long data on the firehose may stay unacknowledged before the backend counts as lost.
  public var backendTimeout: Duration = .seconds(30)

  /// The longest delay between two dials of the backend: delays double up to this. The protocol's number; a test that
  /// loses many backends has no time for it.
  public var longestDialDelay: Duration = .seconds(2)

  /// Whether every firehose connection but the first begins with a 0x03 for each session that is alive.
  public var announce = true

  /// What becomes of the clients when the backend is lost.
  public var backendLoss = BackendLoss.hold

  /// After this long without a backend, clients that were held are dropped, as ``BackendLoss/drop`` does; nil: they are
  /// held for as long as it takes. Of use with ``BackendLoss/hold`` only.
  public var backendLossTimeout: Duration?

  /// What the relay allows clients and those who would be clients.
  public var protection = ProtectionConfiguration()

  /// How long a thread that would sleep waits for more packets before it takes those that came, where the traffic is
  /// such that this saves wake-ups and slows nobody down. Zero: it never does.
  public var coalesceTime: Duration = .microseconds(100)

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

extension RelayConfiguration {
  /// Bytes that the rings of all threads take. Linux counts them as locked memory of the process's user.
  public var ringMemory: Int { ringCount * Limits.ringMemory + Limits.probeMemory }

  /// Each thread has a ring.
  public var ringCount: Int { Placement(self).threads.count }
}

/// What a relay can be configured to. Who builds a ``RelayConfiguration`` checks it against these.
extension RelayConfiguration {
  /// An id has room for shard and slot together, so shards are not without number.
  public static let shardRange = 1...256
  public static let handshakeWorkerRange = 1...64

  /// A packet's memory comes in one piece, and with its tag its size is a u32 on the firehose: a GiB stays far from
  /// both ends of what can be done.
  public static let maxPacketSizeRange = Wire.maxPacketSizes
  /// A terabyte is more than any machine of today has for one client; it keeps sums of sizes within an Int.
  public static let budgetRange = 1...(1 << 40)

  /// The kernel makes anything below it that, and counts up to 2 GiB.
  public static let clientReceiveBufferRange = 4096...(1 << 30)

  /// An id has 24 bits for shard and slot, so there are never more sessions than this, stale or not.
  public static let maxStaleClientsRange = 0...(1 << 24)
  /// Zero keeps nothing.
  public static let missedPacketsBufferRange = 0...budgetRange.upperBound

  /// A client that has been away for a week starts anew.
  public static let staleTimeoutRange = Duration.zero...Duration.seconds(7 * 24 * 60 * 60)
  /// Zero takes every FIN for a full close.
  public static let halfCloseTimeoutRange = Duration.zero...Duration.seconds(60 * 60)
  /// The kernel counts these in whole seconds, and takes at most 32,767 (TCP_KEEPIDLE), which is a little over 9 hours.
  public static let keepaliveRange = Duration.zero...Duration.seconds(9 * 60 * 60)
  public static let tcpUserTimeoutRange = Duration.zero...Duration.seconds(24 * 60 * 60)
  /// Less than a retransmission takes would make every lost segment a lost backend.
  public static let backendTimeoutRange = Duration.seconds(1)...Duration.seconds(24 * 60 * 60)
  public static let backendLossTimeoutRange = Duration.milliseconds(1)...Duration.seconds(7 * 24 * 60 * 60)

  /// More than 10 ms a player would feel.
  public static let coalesceTimeRange = Duration.zero...Duration.milliseconds(10)

  /// A packet that takes a day is no packet.
  public static let packetTimeoutRange = Duration.milliseconds(1)...Duration.seconds(24 * 60 * 60)
  /// Zero gives up at once what is queued.
  public static let shutdownTimeoutRange = Duration.zero...Duration.seconds(60 * 60)
}
