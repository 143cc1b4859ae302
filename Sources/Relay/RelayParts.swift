import CLinux
import Glibc
import VoltlaneCrypto
import VoltlaneWire

/// The roles of one thread, ready to be moved there.
final class Roles: @unchecked Sendable {
  var shard: Shard?
  var firehose: Firehose?
  var worker: HandshakeWorker?
  let bell: Bell

  init(bell: Bell) { self.bell = bell }
}

/// Makes the roles and the lanes between them, thread by thread as a ``Placement`` says. Tests make theirs here too.
struct RelayParts {
  let counters: [Counters]
  let events: [RecordLane<Event>]
  let ids: ClientIDs
  let budget: AssemblyBudget
  private let roles: [Roles]

  /// `random` gives the secrets of the client ids.
  init(
    _ configuration: RelayConfiguration, _ publicKey: PublicKey, _ sockets: ListeningSockets, _ placement: Placement,
    _ arena: Arena, _ control: ControlBlock
  ) throws(RelayError) {
    try self.init(
      configuration, publicKey, listeners: sockets.perShard, placement, arena, control,
      random: {
        var value: UInt64 = 0
        voltlane_random(&value, 8)
        return value
      }, now: RingKernel.clock())
  }

  init(
    _ configuration: RelayConfiguration, _ publicKey: PublicKey, listeners: [[(socket: Int32, isShared: Bool)]],
    _ placement: Placement, _ arena: Arena, _ control: ControlBlock, random: () -> UInt64, now: UInt64
  ) throws(RelayError) {
    let threads = placement.threads
    let shards = configuration.shards
    let bells = threads.map { _ in Bell(arena) }
    counters = threads.map { _ in Counters(arena) }
    events = threads.map { _ in RecordLane<Event>(arena, capacity: Limits.eventLane) }
    ids = ClientIDs(shards: shards, random: random)
    budget = AssemblyBudget(arena, limit: configuration.assemblyBudget, shards: shards)
    roles = bells.map(Roles.init)

    let shardBells = (0..<shards).map { shard in bells[threads.firstIndex { $0.shard == shard }!] }
    let firehoseThread = threads.firstIndex { $0.hostsFirehose }!
    let workerThreads = threads.indices.filter { threads[$0].worker != nil }

    let memory = try DownlinkMemory(arena, maxPacketSize: configuration.maxPacketSize)
    var uplinks: [UplinkLane] = []
    for _ in 0..<shards { uplinks.append(try UplinkLane(arena)) }
    let downlinks = (0..<shards).map { _ in DownlinkLane(arena, memory: memory) }
    // handshakes[worker][shard]
    let handshakes = workerThreads.map { _ in (0..<shards).map { _ in HandshakeLanes(arena) } }

    func eventLog(_ thread: Int) -> EventLog {
      EventLog(events[thread], minimum: configuration.eventLevel, control: control)
    }

    for (thread, placed) in threads.enumerated() {
      if let shard = placed.shard {
        roles[thread].shard = Shard(
          index: shard,
          settings: ShardSettings(
            maxPacketSize: configuration.maxPacketSize, clientSendBuffer: configuration.clientSendBuffer,
            packetTimeout: configuration.packetTimeout.nanoseconds),
          counters: counters[thread], control: control, budget: budget,
          keyPacket: publicKey.withCompressed { FramedHandshakePacket.publicKey($0) },
          listeners: listeners[shard].map { Shard.Listener(socket: $0.socket, isShared: $0.isShared) },
          connections: try ConnectionTable(), sessions: try SessionTable(shard: shard, ids: ids),
          wheel: TimerWheel(now: now), events: eventLog(thread), uplink: UplinkProducer(uplinks[shard]),
          firehoseBell: bells[firehoseThread], shardBells: FixedArray(count: shards) { shardBells[$0] },
          downlink: RecordConsumer(downlinks[shard].descriptors),
          downlinkMemory: memory,
          workers: FixedArray(count: workerThreads.count) { worker in
            Shard.Worker(
              jobs: RecordProducer(handshakes[worker][shard].jobs),
              results: RecordConsumer(handshakes[worker][shard].results), bell: bells[workerThreads[worker]])
          },
          readBuffer: ReadBuffer(arena), gather: GatherBuffer(arena), dirty: SlotList(arena))
      }
      if placed.hostsFirehose {
        roles[thread].firehose = Firehose(
          counters: counters[thread], control: control, ids: ids,
          maxTaggedPacket: configuration.maxPacketSize + Wire.tag, events: eventLog(thread),
          lanes: FixedArray(count: shards) { shard in
            Firehose.Lane(
              uplink: UplinkConsumer(uplinks[shard]), downlink: RecordProducer(downlinks[shard].descriptors),
              bell: shardBells[shard])
          },
          vectors: arena.allocate(byteCount: Limits.uplinkVectors * MemoryLayout<iovec>.stride)
            .bindMemory(to: iovec.self, capacity: Limits.uplinkVectors),
          memory: memory)
      }
      if let worker = placed.worker {
        roles[thread].worker = HandshakeWorker(lanes: handshakes[worker], bells: shardBells)
      }
    }
  }

  /// The roles of the thread at `index` of the placement; once.
  func takeRoles(_ index: Int) -> Roles { roles[index] }
}

extension Duration {
  /// Whole nanoseconds, at most what fits.
  var nanoseconds: UInt64 {
    let (seconds, attoseconds) = components
    return UInt64(clamping: seconds).multipliedReportingOverflow(by: Limits.second).partialValue
      &+ UInt64(attoseconds / 1_000_000_000)
  }
}
