import Glibc
import VoltlaneCrypto
import VoltlaneWire

/// What the flags say about clients. Sizes are bytes, times nanoseconds.
struct ShardSettings: BitwiseCopyable, Sendable {
  var maxPacketSize: Int
  var clientSendBuffer: Int
  /// `.max` where a packet may take for ever.
  var packetTimeout: UInt64
  var halfCloseTimeout: UInt64
  /// 0: a session ends with its socket.
  var staleTimeout: UInt64
  /// Of all shards together.
  var maxStaleClients: Int
  var missedPacketsBuffer: Int
  var handshakeTimeout: UInt64
  var rejection: Rejection
  /// `.max` where a client need not read.
  var slowClientTimeout: UInt64
  /// What the kernel may hold for one client, at most.
  var kernelMemoryPerClient: Int
  var pace: Pace
  var keepalive: KeepaliveWatch

  /// Of what waits for a client, so much counts towards no limit when it is carried over from one state to the next:
  /// what the limit of an attached client allows, and one packet.
  var carriedOver: Int { clientSendBuffer + Wire.sizePrefix + maxPacketSize }
}

/// One shard: its listeners, its clients, its sessions. A role that a host drives; nothing of it is touched by another
/// thread. This file is what it holds and what it is asked; how clients get in, are read, written and closed stands in
/// the files beside it.
struct Shard<K: Kernel & ~Copyable>: ~Copyable {
  /// A shard's ends of its lanes with one handshake worker.
  struct Worker: ~Copyable {
    var jobs: RecordProducer<HandshakeJob>
    var results: RecordConsumer<HandshakeResult>
    let bell: Bell
    /// Jobs whose results have not been taken: never more than the lane of results holds.
    var underWay = 0
  }

  struct Listener {
    let socket: Int32
    var armed = false
    /// All shards accept from the queue of a unix listener, each by a descriptor of its own.
    let isShared: Bool
  }

  enum Drain {
    case no
    /// What clients and backend have sent is read, at most until the times given: one on the clock that stands still
    /// while the shard cannot read, one on the real one.
    case reading(until: UInt64, latest: UInt64)
    /// Sessions have been told to end; 0x01s that found no room, and sockets, remain.
    case ending
    /// Everything for the backend is in the lane.
    case handedOver
  }

  let index: Int
  var settings: ShardSettings
  let counters: Counters
  let control: ControlBlock
  /// Unfinished packets.
  let budget: SharedBudget
  /// Missed packets.
  let missedBudget: SharedBudget
  /// Stale sessions of all shards, and of those the ones that the backend never heard of, by shard.
  let staleTotals: StaleTotals
  var admission: Admission
  let memory: MemoryGauge
  /// Connections by what they wait for.
  var queues = ConnectionQueues()
  let backendStatus: BackendStatus
  /// How many times sessions have been dropped with the backend, by what this shard has seen.
  var dropsSeen: UInt64 = 0
  /// The relay's public key as it goes to each client.
  let keyPacket: FramedHandshakePacket

  var listeners: FixedArray<Listener>
  /// The first descriptor that no client may have. The kernel gives the lowest that is free, so its number tells how
  /// many are left.
  let firstReservedDescriptor: Int
  var acceptPause = Limits.acceptPauseFirst
  /// When accepting goes on after a pause; `.max` while there is none.
  var acceptResumes: UInt64 = .max { didSet { choresDue = min(acceptResumes, watchDue) } }
  /// When the next connections are looked at for keepalive's sake, and which; `.max` where none are.
  var watchDue: UInt64 = .max { didSet { choresDue = min(acceptResumes, watchDue) } }
  var watched: UInt32 = 0
  /// The first of these two. Both are seldom, and most turns are over with one comparison.
  private(set) var choresDue: UInt64 = .max

  var shunned = ShunnedAddresses()

  var connections: ConnectionTable
  var sessions: SessionTable
  /// Connections to read.
  var lists = ReadyLists()
  var wheel: TimerWheel
  var unfinished = LargestHolders<UnfinishedPackets>()
  var waiting = LargestHolders<WaitingBytes>()
  var stale: StaleSessions
  var missed = LargestHolders<MissedPackets>()
  var kernelMemory = KernelMemorySampler()
  var events: EventLog

  var uplink: UplinkProducer
  let firehoseBell: Bell
  var downlink: RecordConsumer<Descriptor>
  let downlinkMemory: DownlinkMemory
  /// The other shards, by their index; this one's own place is not used.
  var peers: FixedArray<ShardPeer>
  let sweep: SweepLane
  var sweepAnswers: RecordProducer<SweepAnswer>
  var sweepsAnswered: UInt64 = 0
  var workers: FixedArray<Worker>
  var nextWorker = 0
  /// Of all workers together. Only while there are some can a connection wait for a worker.
  var jobsUnderWay = 0

  /// Where clients are read into, behind room for the start of a packet that came before.
  let readBuffer: ReadBuffer
  /// Where packets for one client are put together.
  var gather: GatherBuffer
  /// Connections with something to send in this turn.
  let dirty: SlotList
  /// Sends are queued, or have started and are not settled: `dirty` has their connections.
  var sendsUnderWay = false
  /// Something other than the next packets waits for them.
  var settlingIsAwaited = false
  /// What is left for this turn to send of pending bytes.
  var pendingShare = Limits.pendingPerTurn

  /// Time that the shard spent not reading because the uplink was full, and since when it does; packets' deadlines
  /// leave it out.
  var pausedTotal: UInt64 = 0
  var pausedSince: UInt64 = .max

  /// The oldest stale session is looked at again then: its client has come back in time.
  var staleHeldUntil: UInt64 = 0

  /// How far the shard has come with what had come when something was due.
  var catchUp = CatchUp()

  var drain = Drain.no

  /// The listeners of a shard whose thread did not start.
  deinit {
    for index in 0..<listeners.count { close(listeners[index].socket) }
  }

  // MARK: What a host asks

  /// Goes on with other settings. Deadlines that stand already keep their time; limits hold from the next packet, or
  /// the next connection, on.
  mutating func take(_ new: HostSettings, _ kernel: borrowing K) {
    let old = settings
    settings = new.shard
    admission.limits = new.admission.takeUnretainedValue()
    events.minimum = new.eventLevel
    shunned.forgive()
    if settings.pace != old.pace { paceAnew(kernel) }
    if settings.slowClientTimeout < old.slowClientTimeout { judgeSlownessAnew() }
    kernelMemory.next = kernel.now
    if old.handshakeTimeout == .max { startClocks(kernel) }
  }

  /// Starts accepting.
  mutating func start(_ kernel: inout K) {
    armListeners(&kernel)
  }

  /// Takes note of a completion. Reading and writing follow in the turn.
  @inline(__always)
  mutating func handle(_ completion: Completion, _ kernel: inout K) {
    switch completion.token.purpose {
    case .clientReadable: clientReadable(completion, &kernel)
    case .clientSent: clientSent(completion, &kernel)
    case .clientWritable: clientWritable(completion, &kernel)
    case .accept: accepted(completion, &kernel)
    default: break
    }
  }

  /// Whether there is something to do that no completion will announce. Called before a sleep, after the bell has been
  /// told; a shard that waits for room says so here. `besideFirehose`: it shares its thread, and the firehose has said
  /// what it waits for.
  mutating func hasWork(besideFirehose: Bool) -> Bool {
    if downlink.available() > 0 { return true }
    // Queued sends are done as they enter the kernel, but that is seen only after a sleep. The firehose may wait for
    // their memory; on another thread it may come to do so at any time.
    if sendsUnderWay, settlingIsAwaited || downlink.isAwaited || !besideFirehose { return true }
    if sweep.requests.published != sweepsAnswered || backendStatus.drops != dropsSeen { return true }
    if budget.requests.isAsked(index) || missedBudget.requests.isAsked(index) { return true }
    if staleTotals.requests.isAsked(index) { return true }
    if peers.count > 1, hasHandedSockets() { return true }
    if jobsUnderWay > 0 {
      for worker in 0..<workers.count where workers[worker].results.available() > 0 { return true }
    }
    if !lists.others.isEmpty { return true }
    let hasWaiters = !lists.clients.isEmpty || queues.returning.first != nil || sessions.firstOwed != nil
    guard hasWaiters else { return drainCanAdvance() }
    if waitersHaveRoom() || drainCanAdvance() { return true }
    uplink.announceWaits()
    return waitersHaveRoom()
  }

  /// Whether the uplink has room for one of those that wait for it. Each waits for what it needs and no more: 0x01s,
  /// and clients that come back, for the room that packets never take.
  private mutating func waitersHaveRoom() -> Bool {
    if sessions.firstOwed != nil || queues.returning.first != nil { return hasControlRoom() }
    return hasUplinkRoom()
  }

  /// When the shard has to be called again at the latest.
  mutating func nextDeadline() -> UInt64 {
    var deadline = min(wheel.nextDeadline(), choresDue, kernelMemory.next, shunned.next)
    if let oldest = stale.oldest { deadline = min(deadline, staleExpiry(oldest)) }
    // A thread that sleeps without a deadline does not notice that it stood still, which counts in clients' rates.
    if deadline == .max, settings.pace.isMetered, connections.count > 0 { deadline = .max - 1 }
    if case .reading(let until, let latest) = drain {
      deadline = min(deadline, pausedSince == .max ? min(until &+ pausedTotal, latest) : latest)
    }
    return deadline
  }

  /// Takes what other roles have for the shard besides packets. Before packets are delivered: a client that is back
  /// gets what it missed first.
  mutating func takeMessages(_ kernel: inout K) {
    pendingShare = Limits.pendingPerTurn
    if sweep.requests.published != sweepsAnswered { answerSweep(&kernel) }
    if peers.count > 1 { takeHandedSockets(&kernel) }
    if jobsUnderWay > 0 { takeHandshakeResults(&kernel) }
    if queues.returning.first != nil { applyReturns(&kernel) }
  }

  /// What is due by the clock.
  mutating func expire(_ kernel: inout K) {
    if isDue(kernel.now), let time = caughtUp(kernel) { expire(by: time, &kernel) }
    if kernelMemory.next <= kernel.now { sampleKernelMemory(&kernel) }
    if memory.isShort { relieveMemory(&kernel) }
    if kernel.now >= choresDue { doChores(&kernel) }
    if kernel.now >= shunned.next { hearShunned(&kernel) }
    if budget.requests.take(index) { endLargestUnfinished(&kernel) }
    if missedBudget.requests.take(index) { endLargestMissed(&kernel) }
    if staleTotals.requests.take(index) { evictStale(&kernel) }
    if backendStatus.drops != dropsSeen { dropSessions(&kernel) }
    if case .no = drain {} else { advanceDrain(&kernel) }
  }

  @inline(never)
  private mutating func doChores(_ kernel: inout K) {
    if kernel.now >= acceptResumes {
      acceptResumes = .max
      armListeners(&kernel)
    }
    if kernel.now >= watchDue { watch(&kernel) }
  }

  /// Shows the firehose and the workers what this turn has for them, and wakes those that sleep.
  mutating func publish(_ kernel: inout K) {
    if uplink.publish(), firehoseBell.takeSleep() { kernel.ring(firehoseBell) }
    if jobsUnderWay > 0 { publishJobs(&kernel) }
    for peer in 0..<peers.count where peer != index {
      if peers[peer].outgoing.publish() { wake(peer, &kernel) }
    }
  }

  @inline(never)
  private mutating func publishJobs(_ kernel: inout K) {
    for worker in 0..<workers.count {
      if workers[worker].jobs.publish(), workers[worker].bell.takeSleep() { kernel.ring(workers[worker].bell) }
    }
  }

  /// Wakes another shard, which has something to look at.
  mutating func wake(_ shard: Int, _ kernel: inout K) {
    if shard != index, peers[shard].bell.takeSleep() { kernel.ring(peers[shard].bell) }
  }

  @inline(__always)
  mutating func hasUplinkRoom() -> Bool {
    uplink.room(for: Limits.uplinkMinimumRoom) >= Limits.uplinkMinimumRoom && uplink.hasReferenceRoom()
  }
}
