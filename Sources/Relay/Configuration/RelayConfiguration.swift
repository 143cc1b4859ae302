@_exported import VoltlaneText
import VoltlaneWire

/// Everything that decides how a relay behaves, with nothing left to find out: what was `auto` for the operator is a
/// number here. Sizes and budgets are in bytes, and for the relay as a whole unless they say "a client".
public struct RelayConfiguration: Sendable {
  /// Where clients connect; at least one. Every shard accepts on each.
  public var listeners: [Endpoint]

  /// Which processes may connect to unix listeners: the exact permissions of their files; nil: what the process's umask
  /// leaves.
  public var unixSocketMode: UInt16?
  /// The group of the files of unix listeners, as a number; nil: the process's own.
  public var unixSocketGroup: UInt32?

  /// What the firehose dials.
  public var backend: Endpoint

  /// How many shards share the clients.
  public var shards = 1

  /// How many threads the shards share.
  public var threads = Threads.fixed(1)

  /// Which thread hosts the firehose.
  public var firehoseCore = FirehoseCore.shared

  /// With a CPU for each thread, the shards are pinned to these in this order, then the firehose if it has its own
  /// thread. With fewer, nothing is pinned: two threads that share a CPU would wait for each other. Empty: nothing is
  /// pinned.
  public var cpus: [Int] = []
  /// CPUs' worth of time that the process may have, where a control group limits it.
  public var cpuTime: Double?

  /// How threads reach the system. The one thing that is found out only when the relay is made.
  public var io = KernelChoice.auto

  /// Threads that check keys, derive session keys, and seal and open challenges.
  public var handshakeWorkers = 1

  /// The largest packet that a client may send or be sent, not counting the size prefix or the 9 bytes of the tag that
  /// it has on the firehose. With its tag, the default is exactly 8 MiB.
  public var maxPacketSize = Wire.defaultMaxPacketSize

  /// What may wait for one client that reads too slowly: a packet is accepted while less than this waits; otherwise the
  /// client ends with `buffer overflow`. Once more than half of it waits, the client is not read until less than a
  /// quarter does. It is as large as the largest packet, because clients in the field send thousands of requests before
  /// they read the first answer.
  public var clientSendBuffer = 8 * 1024 * 1024

  /// How much the kernel should receive of one client ahead of the relay; it may take twice that of memory. Measured:
  /// with 100 clients that have 1 MiB under way, in packets of 16 KiB, 1 MiB here costs 0.8 to 0.9 of what 128 KiB
  /// does. With 2,000 such clients, 256 KiB and more used up the kernel's memory for TCP, and all connections slowed to
  /// a crawl.
  public var clientReceiveBuffer = 128 * 1024

  /// How long a packet may take from its first byte to its last, not counting the relay's own pauses.
  public var packetTimeout: Duration? = .seconds(30)

  /// What unfinished packets of all clients may hold together; above it, the client with the largest ends with
  /// `memory`. It is at least ``maxPacketSize``, so that one packet of legal size always fits.
  public var assemblyBudget = 256 * 1024 * 1024

  /// How long a session that has lost its socket waits for its client, counted from the loss; attempts to come back do
  /// not stop the clock. Zero: it ends at once.
  public var staleTimeout: Duration = .seconds(5 * 60)

  /// How many sessions of the relay may be stale, that is, without a socket. At the limit another one has to go first.
  public var maxStaleClients = 65_535

  /// What is kept for one stale client, in bytes, counting 4 more than its data for each packet: a packet is accepted
  /// while less than this is kept; otherwise the session ends with `buffer overflow`. Zero: the first packet that
  /// arrives ends it. What the last socket did not deliver is kept in any case.
  public var missedPacketsBuffer = 64 * 1024

  /// What is kept for all stale clients together; above it, the one that holds most ends with `memory`. It is at least
  /// ``maxPacketSize`` and its 4 bytes, so that one packet of legal size always fits.
  public var missedPacketsTotal = 256 * 1024 * 1024

  /// How long a client that has shut down its sending side is still written to before its session becomes stale.
  public var halfCloseTimeout: Duration = .seconds(5)

  /// How long a TCP connection, a client's or the firehose, may be silent before the kernel probes whether the other
  /// side is still there. In whole seconds; zero: it is never probed.
  public var keepalive: Duration = .seconds(30)

  /// How long data sent to a client may stay unacknowledged, or its window closed, before the kernel gives the
  /// connection up. Zero: the kernel's own limit, a quarter of an hour or more.
  public var tcpUserTimeout: Duration = .seconds(60)

  /// How long data on the firehose may stay unacknowledged before the backend counts as lost.
  public var backendTimeout: Duration = .seconds(30)

  /// The longest delay between two dials of the backend: delays double up to this. It is the protocol's number; a test
  /// that loses many backends cannot wait that long.
  public var longestDialDelay: Duration = .seconds(2)

  /// Whether every firehose connection but the first begins with a 0x03 for each session that is alive.
  public var announce = true

  /// Whether the backend is told of each session that becomes stale, by a 0x04.
  public var tellsAway = false

  /// Whether the backend is told where each client connects from, by a 0x07.
  public var tellsAddresses = false

  /// What happens to the clients when the backend is lost.
  public var backendLoss = BackendLoss.hold

  /// After this long without a backend, clients that were held are dropped, as with ``BackendLoss/drop``; nil: they are
  /// held for as long as it takes. It only matters with ``BackendLoss/hold``.
  public var backendLossTimeout: Duration?

  /// What the relay allows clients, and connections that want to become clients.
  public var protection = ProtectionConfiguration()

  /// How long a thread that would otherwise sleep waits for more packets before it takes those that have arrived, if
  /// the traffic is such that this saves wake-ups and slows nobody down. Zero: it never waits.
  public var coalesceTime: Duration = .microseconds(100)

  /// The congestion control of every TCP socket, by the kernel's name for it; nil: the system's default.
  public var congestionControl: String?

  /// Descriptors that others in the process may come to take while the relay runs. Clients leave them free, besides
  /// those that the relay keeps for its backend.
  public var otherDescriptors = 0

  /// How long a drain may take before what is still queued is given up.
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
  /// These settings, but with those that are fixed when a relay starts as `running` has them. A test holds this list to
  /// what the settings themselves say of reloading.
  public func reloaded(over running: RelayConfiguration) -> RelayConfiguration {
    var new = self
    new.listeners = running.listeners
    new.backend = running.backend
    new.shards = running.shards
    new.threads = running.threads
    new.firehoseCore = running.firehoseCore
    new.cpus = running.cpus
    new.io = running.io
    new.cpuTime = running.cpuTime
    new.handshakeWorkers = running.handshakeWorkers
    new.maxPacketSize = running.maxPacketSize
    new.tellsAddresses = running.tellsAddresses
    new.clientReceiveBuffer = running.clientReceiveBuffer
    new.keepalive = running.keepalive
    new.tcpUserTimeout = running.tcpUserTimeout
    new.coalesceTime = running.coalesceTime
    new.congestionControl = running.congestionControl
    new.unixSocketMode = running.unixSocketMode
    new.unixSocketGroup = running.unixSocketGroup
    new.otherDescriptors = running.otherDescriptors
    new.protection.backlog = running.protection.backlog
    new.protection.deferAccept = running.protection.deferAccept
    return new
  }
}

extension RelayConfiguration {
  /// Bytes that the rings of all threads take. Linux counts them as locked memory of the process's user.
  public var ringMemory: Int { ringCount * Limits.ringMemory + Limits.probeMemory }

  /// Each thread has a ring, where there are any.
  public var ringCount: Int { Placement(self).hosts.count }
}

/// The values that a relay can be configured to. Anyone who builds a ``RelayConfiguration`` checks it against these.
extension RelayConfiguration {
  /// An id has room for shard and slot together, which limits the number of shards.
  public static let shardRange = 1...256
  public static let handshakeWorkerRange = 1...64

  /// A packet's memory comes in one piece, and with its tag its size is a u32 on the firehose: a GiB stays well below
  /// both limits.
  public static let maxPacketSizeRange = Wire.maxPacketSizes
  /// A terabyte is more than any machine has for one client today, and keeps sums of sizes within an Int.
  public static let budgetRange = 1...(1 << 40)

  /// The kernel raises anything below the minimum to it, and counts up to 2 GiB.
  public static let clientReceiveBufferRange = 4096...(1 << 30)

  /// An id has 24 bits for shard and slot, so there are never more sessions than this, stale or not.
  public static let maxStaleClientsRange = 0...(1 << 24)
  /// Zero keeps nothing.
  public static let missedPacketsBufferRange = 0...budgetRange.upperBound

  /// A client that has been away for a week starts again.
  public static let staleTimeoutRange = Duration.zero...Duration.seconds(7 * 24 * 60 * 60)
  /// With zero, every FIN counts as a full close.
  public static let halfCloseTimeoutRange = Duration.zero...Duration.seconds(60 * 60)
  /// The kernel counts these in whole seconds, and takes at most 32,767 (TCP_KEEPIDLE), which is a little over 9 hours.
  public static let keepaliveRange = Duration.zero...Duration.seconds(9 * 60 * 60)
  public static let tcpUserTimeoutRange = Duration.zero...Duration.seconds(24 * 60 * 60)
  /// If it were shorter than a retransmission, every lost segment would look like a lost backend.
  public static let backendTimeoutRange = Duration.seconds(1)...Duration.seconds(24 * 60 * 60)
  public static let backendLossTimeoutRange = Duration.milliseconds(1)...Duration.seconds(7 * 24 * 60 * 60)

  /// A player would notice more than 10 ms.
  public static let coalesceTimeRange = Duration.zero...Duration.milliseconds(10)

  /// Something that takes a day is not a packet any more.
  public static let packetTimeoutRange = Duration.milliseconds(1)...Duration.seconds(24 * 60 * 60)
  /// With zero, whatever is queued is given up at once.
  public static let shutdownTimeoutRange = Duration.zero...Duration.seconds(60 * 60)
}
