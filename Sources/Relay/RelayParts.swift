import CLinux
import Glibc
import VoltlaneCrypto
import VoltlaneWire

/// What one thread needs to be a host.
final class HostParts<K: Kernel & ~Copyable>: @unchecked Sendable {
  /// Its number among the hosts.
  let number: Int
  let table: RoleTable<K>
  let bell: Bell
  private var workers: [() -> HandshakeWorker]

  init(_ number: Int, _ table: RoleTable<K>, workers: [() -> HandshakeWorker]) {
    self.number = number
    self.table = table
    self.workers = workers
    bell = table.bells[number]
  }

  /// The handshake workers of some threads; once.
  static func takeWorkers(of parts: [HostParts]) -> FixedArray<HandshakeWorker> {
    let workers = parts.flatMap(\.workers)
    for part in parts { part.workers = [] }
    return FixedArray(count: workers.count) { workers[$0]() }
  }
}

/// Makes the roles, the lanes between them, and what each thread needs to host some of them, as a ``Placement`` says.
/// Tests use it too.
struct RelayParts<K: Kernel & ~Copyable> {
  /// For each role that counts: the shards, then the firehose.
  let counters: [Counters]
  /// For each role that counts something by size: the shards, then the firehose.
  let distributions: [Distributions]
  /// A lane for each role that posts events, because a lane has a single producer: the shards, then the firehose.
  let events: [RecordLane<Event>]
  let ids: ClientIDs
  /// For each role, the settings that it is given while it runs.
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
  private let firstSessions: [FirstSessions]
  let table: RoleTable<K>
  private let workerBells: [RoleBell]
  private let hosts: [HostParts<K>]
  let lanes: Lanes
  let arena: Arena
  private let control: ControlBlock
  private let configuration: RelayConfiguration

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
      descriptorLimit: Int(clamping: voltlane_descriptor_limit()) - configuration.otherDescriptors,
      random: {
        var value: UInt64 = 0
        voltlane_random(&value, 8)
        return value
      }, now: ThreadClock.machineNow())
  }

  /// `random` provides the secrets of the client ids, and `now` is the clock's reading.
  init(
    _ configuration: RelayConfiguration, _ identity: SecretKey, listeners: [[(socket: Int32, isShared: Bool)]],
    _ placement: Placement, _ arena: Arena, _ control: ControlBlock, descriptorLimit: Int = .max,
    random: () -> UInt64, now: UInt64
  ) throws(RelayError) {
    let hosts = placement.hosts
    let shards = configuration.shards
    let bells = HostBells(arena, hosts: hosts.count)
    self.arena = arena
    self.control = control
    self.configuration = configuration
    counters = (0...shards).map { _ in Counters(arena) }
    distributions = (0...shards).map { _ in Distributions(arena) }
    events = (0...shards).map { _ in RecordLane<Event>(arena, capacity: Limits.eventLane) }
    ids = ClientIDs(shards: shards, random: random)
    budget = SharedBudget(arena, limit: configuration.assemblyBudget, shards: shards)
    missedBudget = SharedBudget(arena, limit: configuration.missedPacketsTotal, shards: shards)
    staleTotals = StaleTotals(arena, shards: shards)
    backendStatus = BackendStatus(arena)
    settings = (0...shards).map { _ in RecordLane<HostSettings>(arena, capacity: Limits.settingsLane) }
    queries = (0..<shards).map { _ in QueryLane(arena) }
    admission = try SharedAdmission(
      arena, clients: configuration.protection.maxClients ?? shards * Limits.connectionsPerShard, random: random)
    admissionLimits = AdmissionLimits(configuration.protection)
    memory = MemoryGauge(
      arena, budget: configuration.protection.memoryBudget, unfinished: budget, missed: missedBudget,
      clients: admission.clients, stale: staleTotals, shards: shards)
    tallyFlags = TallyFlags(arena)
    culprits = events.map { _ in Culprits(arena) }
    firstSessions = events.map { _ in FirstSessions(arena) }
    table = RoleTable(arena, placement, bells, shards: shards)
    workerBells = hosts.indices.filter { hosts[$0].worker != nil }.map { RoleBell(arena, bells, host: $0) }
    lanes = try Lanes(
      arena, shards: shards, workers: configuration.handshakeWorkers, maxPacketSize: configuration.maxPacketSize)
    let shardBells = (0..<shards).map { [table] in table.whereabouts[$0].bell }
    self.hosts = hosts.enumerated().map { [table, lanes] number, host in
      HostParts(
        number, table,
        workers: host.worker.map { worker in
          [{ HandshakeWorker(identity: identity, lanes: lanes.handshakes[worker], bells: shardBells) }]
        } ?? [])
    }

    for shard in 0..<shards {
      table.add(try makeShard(shard, identity.publicKey, descriptorLimit: descriptorLimit, now: now), settings[shard])
    }
    table.add(makeFirehose(), settings[shards])
    // Last, because a shard closes its listeners when it goes away: if something was missing, they still belong to the
    // caller.
    for shard in 0..<shards {
      table.shard(shard).role.acceptor.listeners = FixedArray(count: listeners[shard].count) {
        Acceptor.Listener(socket: listeners[shard][$0].socket, isShared: listeners[shard][$0].isShared)
      }
    }
  }

  /// What the thread at `index` of the placement needs; for one host.
  func host(_ index: Int) -> HostParts<K> { hosts[index] }

  /// What the control thread reports about things that roles only count.
  var digest: Digest {
    Digest(flags: tallyFlags, counters: counters, culprits: culprits, firstSessions: firstSessions)
  }

  private func eventLog(_ role: Int) -> EventLog {
    EventLog(
      events[role], minimum: configuration.eventLevel, counters: counters[role], flags: tallyFlags,
      culprits: culprits[role], firstSessions: firstSessions[role])
  }

  private func makeShard(
    _ shard: Int, _ publicKey: PublicKey, descriptorLimit: Int, now: UInt64
  ) throws(RelayError) -> Shard<K> {
    Shard(
      number: shard, settings: ShardSettings(configuration), counters: counters[shard],
      distributions: distributions[shard], control: control,
      events: eventLog(shard), keyPacket: publicKey.withCompressed { FramedHandshakePacket.publicKey($0) },
      connections: try ConnectionTable(shard: shard), wheel: TimerWheel(now: now),
      acceptor: Acceptor(shard: shard, descriptorLimit: descriptorLimit),
      admission: Admission(admissionLimits, admission),
      workers: WorkerPool(
        FixedArray(count: configuration.handshakeWorkers) { worker in
          WorkerPool.Worker(
            jobs: RecordProducer(lanes.handshakes[worker][shard].jobs),
            results: RecordConsumer(lanes.handshakes[worker][shard].results), bell: workerBells[worker])
        }),
      peers: Peers(
        FixedArray(count: configuration.shards) { peer in
          ShardPeer(
            outgoing: RecordProducer(lanes.sockets[shard][peer]),
            incoming: RecordConsumer(lanes.sockets[peer][shard]), bell: table.whereabouts[peer].bell)
        }, shard: shard),
      readBuffer: ReadBuffer(arena), unfinished: BudgetedHolders(budget, shard: shard),
      uplink: UplinkProducer(lanes.uplinks[shard]), firehoseBell: table.whereabouts[configuration.shards].bell,
      downlink: RecordConsumer(lanes.downlinks[shard].descriptors), downlinkMemory: lanes.memory,
      gather: GatherBuffer(arena), sends: TurnSends(arena), sessions: try SessionTable(shard: shard, ids: ids),
      stale: try StaleClients(
        staleTotals, missed: missedBudget, capacity: SessionTable.capacity(of: ids), shard: shard),
      sweep: SweepAnswers(lanes.sweeps[shard]), backendStatus: backendStatus,
      queries: ShardQueries(queries[shard]), endedSessions: try RecentEnds(), refusals: try RecentEnds(),
      memory: ClientMemory(memory, shard: shard))
  }

  private func makeFirehose() -> Firehose<K> {
    Firehose(
      counters: counters[configuration.shards], distributions: distributions[configuration.shards],
      control: control, ids: ids,
      settings: FirehoseSettings(configuration), backendStatus: backendStatus,
      events: eventLog(configuration.shards),
      lanes: FixedArray(count: configuration.shards) { shard in
        Firehose<K>.Lane(
          uplink: UplinkConsumer(lanes.uplinks[shard]),
          downlink: RecordProducer(lanes.downlinks[shard].descriptors), bell: table.whereabouts[shard].bell,
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
