import CLinux
import Glibc
import VoltlaneCrypto
import VoltlaneWire

/// The roles of one thread, ready to be moved there.
final class Roles<K: Kernel & ~Copyable>: @unchecked Sendable {
  var shard: Shard<K>?
  var firehose: Firehose<K>?
  var worker: HandshakeWorker?
  let bell: Bell
  let settings: RecordLane<HostSettings>

  init(bell: Bell, settings: RecordLane<HostSettings>) {
    self.bell = bell
    self.settings = settings
  }
}

/// Makes the roles, thread by thread as a ``Placement`` says, and the lanes between them. Tests use it too.
struct RelayParts<K: Kernel & ~Copyable> {
  let counters: [Counters]
  /// For each role that counts something by size: the shards, then the firehose.
  let distributions: [Distributions]
  /// A lane for each role that posts events, because a lane has a single producer: the shards, then the firehose.
  let events: [RecordLane<Event>]
  let ids: ClientIDs
  /// For each host, the settings that it is given while it runs.
  let settings: [RecordLane<HostSettings>]
  /// For each shard, what the control thread asks it and what it answers.
  let queries: [QueryLane]
  let budget: SharedBudget
  let missedBudget: SharedBudget
  let staleTotals: StaleTotals
  let backendStatus: BackendStatus
  let admission: SharedAdmission
  private let admissionLimits: AdmissionLimits
  let memory: MemoryGauge
  private let tallyFlags: TallyFlags
  /// For each event lane.
  private let culprits: [Culprits]
  private let roles: [Roles<K>]
  private let bells: Bells
  let lanes: Lanes
  let arena: Arena
  private let control: ControlBlock
  private let configuration: RelayConfiguration

  /// The bells of the hosts, by what they host.
  private struct Bells {
    let shards: [Bell]
    let firehose: Bell
    let workers: [Bell]

    init(_ placement: Placement, _ bells: [Bell]) {
      let threads = placement.threads
      shards = threads.indices.filter { threads[$0].shard != nil }.map { bells[$0] }
      firehose = bells[threads.firstIndex { $0.hostsFirehose }!]
      workers = threads.indices.filter { threads[$0].worker != nil }.map { bells[$0] }
    }
  }

  /// All lanes, by the shards between whose roles they run.
  struct Lanes {
    let memory: DownlinkMemory
    var uplinks: [UplinkLane] = []
    let downlinks: [DownlinkLane]
    let sweeps: [SweepLane]
    /// [worker][shard]
    let handshakes: [[HandshakeLanes]]
    /// [from][to]
    let sockets: [[RecordLane<HandedSocket>]]

    init(_ arena: Arena, shards: Int, workers: Int, maxPacketSize: Int) throws(RelayError) {
      memory = try DownlinkMemory(arena, maxPacketSize: maxPacketSize)
      for _ in 0..<shards { uplinks.append(try UplinkLane(arena)) }
      downlinks = (0..<shards).map { [memory] _ in DownlinkLane(arena, memory: memory) }
      sweeps = (0..<shards).map { _ in SweepLane(arena) }
      handshakes = (0..<workers).map { _ in (0..<shards).map { _ in HandshakeLanes(arena) } }
      sockets = (0..<shards).map { _ in
        (0..<shards).map { _ in RecordLane<HandedSocket>(arena, capacity: Limits.shardLane) }
      }
    }
  }

  /// The parts of a running relay: randomness and the clock are the system's.
  init(
    _ configuration: RelayConfiguration, _ identity: SecretKey, _ sockets: ListeningSockets, _ placement: Placement,
    _ arena: Arena, _ control: ControlBlock
  ) throws(RelayError) {
    try self.init(
      configuration, identity, listeners: sockets.perShard, placement, arena, control,
      descriptorLimit: Int(clamping: voltlane_descriptor_limit()),
      random: {
        var value: UInt64 = 0
        voltlane_random(&value, 8)
        return value
      }, now: RingKernel.machineClock())
  }

  /// `random` provides the secrets of the client ids, and `now` is the clock's reading.
  init(
    _ configuration: RelayConfiguration, _ identity: SecretKey, listeners: [[(socket: Int32, isShared: Bool)]],
    _ placement: Placement, _ arena: Arena, _ control: ControlBlock, descriptorLimit: Int = .max,
    random: () -> UInt64, now: UInt64
  ) throws(RelayError) {
    let threads = placement.threads
    let shards = configuration.shards
    let hostBells = threads.map { _ in Bell(arena) }
    self.arena = arena
    self.control = control
    self.configuration = configuration
    counters = threads.map { _ in Counters(arena) }
    distributions = (0...shards).map { _ in Distributions(arena) }
    events = (0...shards).map { _ in RecordLane<Event>(arena, capacity: Limits.eventLane) }
    ids = ClientIDs(shards: shards, random: random)
    budget = SharedBudget(arena, limit: configuration.assemblyBudget, shards: shards)
    missedBudget = SharedBudget(arena, limit: configuration.missedPacketsTotal, shards: shards)
    staleTotals = StaleTotals(arena, shards: shards)
    backendStatus = BackendStatus(arena)
    settings = threads.map { _ in RecordLane<HostSettings>(arena, capacity: Limits.settingsLane) }
    queries = (0..<shards).map { _ in QueryLane(arena) }
    admission = try SharedAdmission(
      arena, clients: configuration.protection.maxClients ?? shards * Limits.connectionsPerShard, random: random)
    admissionLimits = AdmissionLimits(configuration.protection)
    memory = MemoryGauge(
      arena, budget: configuration.protection.memoryBudget, unfinished: budget, missed: missedBudget,
      clients: admission.clients, stale: staleTotals, shards: shards)
    tallyFlags = TallyFlags(arena)
    culprits = events.map { _ in Culprits(arena) }
    roles = zip(hostBells, settings).map { Roles<K>(bell: $0, settings: $1) }
    bells = Bells(placement, hostBells)
    lanes = try Lanes(
      arena, shards: shards, workers: configuration.handshakeWorkers, maxPacketSize: configuration.maxPacketSize)

    for (thread, placed) in threads.enumerated() {
      if let shard = placed.shard {
        roles[thread].shard = try makeShard(
          shard, thread, identity.publicKey, descriptorLimit: descriptorLimit, now: now)
      }
      if placed.hostsFirehose { roles[thread].firehose = makeFirehose(thread) }
      if let worker = placed.worker {
        roles[thread].worker = HandshakeWorker(
          identity: identity, lanes: lanes.handshakes[worker], bells: bells.shards)
      }
    }
    // Last, because a shard closes its listeners when it goes away: if something was missing, they still belong to the
    // caller.
    for (thread, placed) in threads.enumerated() {
      guard let shard = placed.shard else { continue }
      roles[thread].shard?.acceptor.listeners = FixedArray(count: listeners[shard].count) {
        Acceptor.Listener(socket: listeners[shard][$0].socket, isShared: listeners[shard][$0].isShared)
      }
    }
  }

  /// The counters in which each shard counts.
  func shardCounters(_ placement: Placement) -> [Counters] {
    (0..<configuration.shards).compactMap { shard in
      placement.threads.firstIndex { $0.shard == shard }.map { counters[$0] }
    }
  }

  /// The roles of the thread at `index` of the placement; once.
  func takeRoles(_ index: Int) -> Roles<K> { roles[index] }

  /// What the control thread reports about things that roles only count.
  var digest: Digest { Digest(flags: tallyFlags, counters: counters, culprits: culprits) }

  private func eventLog(_ lane: Int, _ thread: Int) -> EventLog {
    EventLog(
      events[lane], minimum: configuration.eventLevel, counters: counters[thread], flags: tallyFlags,
      culprits: culprits[lane])
  }

  private func makeShard(
    _ shard: Int, _ thread: Int, _ publicKey: PublicKey, descriptorLimit: Int, now: UInt64
  ) throws(RelayError) -> Shard<K> {
    Shard(
      number: shard, settings: ShardSettings(configuration), counters: counters[thread],
      distributions: distributions[shard], control: control,
      events: eventLog(shard, thread), keyPacket: publicKey.withCompressed { FramedHandshakePacket.publicKey($0) },
      connections: try ConnectionTable(), wheel: TimerWheel(now: now),
      acceptor: Acceptor(descriptorLimit: descriptorLimit), admission: Admission(admissionLimits, admission),
      workers: WorkerPool(
        FixedArray(count: configuration.handshakeWorkers) { worker in
          WorkerPool.Worker(
            jobs: RecordProducer(lanes.handshakes[worker][shard].jobs),
            results: RecordConsumer(lanes.handshakes[worker][shard].results), bell: bells.workers[worker])
        }),
      peers: Peers(
        FixedArray(count: configuration.shards) { peer in
          ShardPeer(
            outgoing: RecordProducer(lanes.sockets[shard][peer]),
            incoming: RecordConsumer(lanes.sockets[peer][shard]), bell: bells.shards[peer])
        }, shard: shard),
      readBuffer: ReadBuffer(arena), unfinished: BudgetedHolders(budget, shard: shard),
      uplink: UplinkProducer(lanes.uplinks[shard]), firehoseBell: bells.firehose,
      downlink: RecordConsumer(lanes.downlinks[shard].descriptors), downlinkMemory: lanes.memory,
      gather: GatherBuffer(arena), sends: TurnSends(arena), sessions: try SessionTable(shard: shard, ids: ids),
      stale: try StaleClients(
        staleTotals, missed: missedBudget, capacity: SessionTable.capacity(of: ids), shard: shard),
      sweep: SweepAnswers(lanes.sweeps[shard]), backendStatus: backendStatus,
      queries: ShardQueries(queries[shard]), endedSessions: try RecentEnds(), refusals: try RecentEnds(),
      memory: ClientMemory(memory, shard: shard))
  }

  private func makeFirehose(_ thread: Int) -> Firehose<K> {
    Firehose(
      counters: counters[thread], distributions: distributions[configuration.shards], control: control, ids: ids,
      settings: FirehoseSettings(configuration), backendStatus: backendStatus,
      events: eventLog(configuration.shards, thread),
      lanes: FixedArray(count: configuration.shards) { shard in
        Firehose<K>.Lane(
          uplink: UplinkConsumer(lanes.uplinks[shard]),
          downlink: RecordProducer(lanes.downlinks[shard].descriptors), bell: bells.shards[shard],
          sweep: lanes.sweeps[shard], sweepAnswers: RecordConsumer(lanes.sweeps[shard].answers))
      },
      vectors: arena.allocate(byteCount: Limits.uplinkVectors * MemoryLayout<iovec>.stride)
        .bindMemory(to: iovec.self, capacity: Limits.uplinkVectors),
      memory: lanes.memory)
  }
}

extension RelayConfiguration {
  /// As the kernel takes it, at least one where there is one.
  var userTimeoutMilliseconds: UInt32 {
    UInt32(clamping: (self.tcpUserTimeout.nanoseconds + Limits.millisecond - 1) / Limits.millisecond)
  }
}

extension UInt64 {
  /// A time, `duration` later; `.max`, which means never, stays the same.
  func adding(_ duration: UInt64) -> UInt64 {
    let (sum, overflows) = addingReportingOverflow(duration)
    return overflows ? .max : sum
  }
}

extension Duration {
  /// Whole nanoseconds, at most what fits.
  var nanoseconds: UInt64 {
    let (seconds, attoseconds) = components
    let (whole, overflows) = UInt64(clamping: seconds).multipliedReportingOverflow(by: Limits.second)
    return overflows ? .max : whole &+ UInt64(clamping: attoseconds / 1_000_000_000)
  }

  /// Whole seconds; anything above zero is at least one.
  var seconds: Int32 { Int32(clamping: (nanoseconds + Limits.second - 1) / Limits.second) }
}
