/// What can be seen of a running relay from any thread, without asking one of its own: counters and other words that
/// its threads keep anyway. Values are read one by one, so they may be a few microseconds apart.
public struct RelayObserver: Sendable {
  /// Keeps the words.
  private let arena: Arena
  private let control: ControlBlock
  private let counters: [Counters]
  private let shardCounters: [Counters]
  private let distributions: [Distributions]
  private let uplinks: [(indices: LaneIndices, capacity: Int)]
  private let downlinks: [(indices: LaneIndices, capacity: Int)]
  private let admission: SharedAdmission
  private let stale: StaleTotals
  private let gauge: MemoryGauge
  private let unfinishedBudget: SharedBudget
  private let missedBudget: SharedBudget
  private let backend: BackendStatus
  private let placement: Placement
  private let whereabouts: [Whereabouts]

  init<K: Kernel & ~Copyable>(_ parts: RelayParts<K>, _ placement: Placement, _ control: ControlBlock) {
    arena = parts.arena
    self.control = control
    counters = parts.counters
    shardCounters = Array(parts.counters.dropLast())
    distributions = parts.distributions
    uplinks = parts.lanes.uplinks.map { ($0.indices, $0.capacity) }
    downlinks = parts.lanes.downlinks.map { ($0.descriptors.indices, $0.descriptors.capacity) }
    admission = parts.admission
    stale = parts.staleTotals
    gauge = parts.memory
    unfinishedBudget = parts.budget
    missedBudget = parts.missedBudget
    backend = parts.backendStatus
    self.placement = placement
    whereabouts = parts.table.whereabouts
  }

  /// What each thread hosts at the moment. A role that is just moving is listed with the thread that it leaves.
  public var threads: [(name: String, roles: [String])] {
    placement.hosts.indices.map { (placement.hosts[$0].name, placement.roles(at: $0, whereabouts)) }
  }

  // MARK: Counts

  /// What all threads together have counted.
  public subscript(metric: Metric) -> UInt64 { counters.reduce(0) { $0 &+ $1[metric] } }

  /// What they have sorted by size: how many values there are in each bucket, and their sum.
  public func distribution(_ distribution: Distribution) -> (buckets: [UInt64], sum: UInt64) {
    var (buckets, sum) = ([UInt64](repeating: 0, count: Distribution.buckets), UInt64(0))
    for role in distributions {
      let counts = role.counts(distribution)
      for index in buckets.indices { buckets[index] &+= counts.buckets[index] }
      sum &+= counts.sum
    }
    return (buckets, sum)
  }

  // MARK: Clients

  /// Connections, and those of them that are in the handshake.
  public var clients: Int { Int(truncatingIfNeeded: admission.clients.relaxed) }
  public var handshakes: Int { Int(truncatingIfNeeded: admission.handshakes.relaxed) }
  /// Sessions with a connection and without one.
  public var attachedSessions: Int {
    let started = self[.sessionsStarted]
    return max(0, Int(truncatingIfNeeded: started &- self[.sessionsEnded]) - staleSessions)
  }
  public var staleSessions: Int { stale.count }

  /// One shard, as far as it is seen from outside.
  public struct ShardView: Sendable {
    public let sessions: Int
    public let packetsUp, packetsDown, bytesUp, bytesDown: UInt64
    /// How full its lanes are, from 0 to 1.
    public let uplinkFill, downlinkFill: Double
  }

  public var shards: [ShardView] {
    shardCounters.indices.map { shard in
      let counters = shardCounters[shard]
      // The ended ones first: there are never more than have been started.
      let ended = counters[.sessionsEnded]
      return ShardView(
        sessions: Int(truncatingIfNeeded: counters[.sessionsStarted] &- ended), packetsUp: counters[.packetsUp],
        packetsDown: counters[.packetsDown], bytesUp: counters[.bytesUp], bytesDown: counters[.bytesDown],
        uplinkFill: RelayObserver.fill(uplinks[shard]), downlinkFill: RelayObserver.fill(downlinks[shard]))
    }
  }

  private static func fill(_ lane: (indices: LaneIndices, capacity: Int)) -> Double {
    // The head first: it is never beyond the tail.
    let head = lane.indices.head
    return min(1, Double(lane.indices.tail &- head) / Double(lane.capacity))
  }

  // MARK: Memory

  /// Bytes that are held for clients, and what they are compared with.
  public var memoryUsed: Int { max(0, gauge.held) }
  public var memoryBudget: Int { gauge.budget }
  public var pendingBytes: Int { max(0, gauge.waitingBytes) }
  public var closingBytes: Int { max(0, gauge.leavingBytes) }
  public var missedBytes: Int { max(0, missedBudget.charged) }
  public var missedLimit: Int { missedBudget.limit }
  public var unfinishedBytes: Int { max(0, unfinishedBudget.charged) }
  public var unfinishedLimit: Int { unfinishedBudget.limit }

  // MARK: The backend

  /// The state of its connection, and how long it has been there, in nanoseconds.
  public var firehoseState: FirehoseState { backend.state }
  public var connectedFor: UInt64? {
    guard firehoseState == .connected else { return nil }
    let (now, since) = (Relay.now, backend.connectedSince)
    return now > since ? now - since : 0
  }
  /// The age of the oldest byte that it has not taken, in milliseconds.
  public var oldestUnsent: UInt64 { self[.backendBehindMilliseconds] }

  // MARK: The relay

  /// Whether the relay is shutting down, or lets clients go before that.
  public var isEnding: Bool { control.phase != .running || !control.accepts }

  /// Whether new clients are refused because the backend is lost.
  public var refusesClients: Bool { backend.refusesClients }

  /// Makes the control thread look for what it has to do.
  public func wakeControl() { control.wake() }
}

/// The state of the backend's connection, in one word.
public enum FirehoseState: UInt64, CaseIterable, Sendable {
  case idle, resolving, dialing, proving, connected, waiting, finishing, done
}
