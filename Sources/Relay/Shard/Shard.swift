import Glibc
import VoltlaneCrypto
import VoltlaneWire

/// One shard: its listeners, its clients and its sessions. A host drives this role, and no other thread touches any of
/// it. This file has what a shard holds and what its host asks of it; the folders beside it have the rest.
struct Shard<K: Kernel & ~Copyable>: ~Copyable {
  enum Drain {
    case no
    /// What clients and backend have sent is read, at most until the times given: one on the clock that stands still
    /// while the shard cannot read, one on the real one.
    case reading(until: UInt64, latest: UInt64)
    /// Sessions have been told to end; 0x01s that found no room, and sockets, remain.
    case ending
    /// Everything for the backend is in the lane.
    case delivered
  }

  /// Its number among the shards.
  let number: Int
  var settings: ShardSettings
  let counters: Counters
  let distributions: Distributions
  let control: ControlBlock
  var events: EventLog
  /// The relay's public key as it goes to each client.
  let keyPacket: FramedHandshakePacket

  // Connections, by slot; by what they wait for; those to read; and their deadlines.
  var connections: ConnectionTable
  var queues = ConnectionQueues()
  var lists = ReadyLists()
  var wheel: TimerWheel
  var catchUp = CatchUp()

  // How clients come in.
  var acceptor: Acceptor
  var admission: Admission
  var workers: WorkerPool
  var peers: Peers
  var keepaliveRound = KeepaliveRound()

  // The way up.
  /// Where clients are read into, behind room for the start of a packet that came before.
  let readBuffer: ReadBuffer
  var readingClock = ReadingClock()
  var unfinished: BudgetedHolders<UnfinishedPackets>
  var uplink: UplinkProducer
  let firehoseBell: RoleBell

  // The way down.
  var downlink: RecordConsumer<Descriptor>
  let downlinkMemory: DownlinkMemory
  /// Where packets for one client are put together.
  var gather: GatherBuffer
  var sends: TurnSends

  // Sessions.
  var sessions: SessionTable
  var stale: StaleClients
  var sweep: SweepAnswers
  let backendStatus: BackendStatus
  /// How many times sessions have been dropped with the backend, by what this shard has seen.
  var dropsSeen: UInt64 = 0

  var sampling = TurnSampling()

  // What the control thread asks, and what it may ask about.
  var queries: ShardQueries
  var endedSessions: RecentEnds
  var refusals: RecentEnds

  var memory: ClientMemory
  var drain = Drain.no
  /// Clients are let go while the relay accepts nobody, and some of them may not have gone when it accepts again.
  var letsGo = false
  /// While its polls are moved into the ring of another host: the first connection that may still have none there.
  var nextToPoll: UInt32 = .none

  // MARK: What a host asks

  /// Changes to other settings. Deadlines that are set already keep their time; limits apply from the next packet, or
  /// the next connection, on.
  mutating func apply(_ new: HostSettings, _ kernel: borrowing K) {
    let old = settings
    settings = new.shard
    admission.apply(new.admission.takeUnretainedValue())
    events.minimum = new.eventLevel
    acceptor.forgiveAddresses()
    if settings.pace != old.pace { paceAnew(kernel) }
    if settings.slowClientTimeout < old.slowClientTimeout { rearmSlowness() }
    memory.sample(at: kernel.now)
    if old.handshakeTimeout == .max { startClocks(kernel) }
  }

  /// Starts accepting.
  mutating func start(_ kernel: inout K) {
    acceptor.arm(&kernel)
  }

  /// The relay may accept again, after a time in which it did not.
  mutating func acceptIfAllowed(_ kernel: inout K) {
    guard case .no = drain, control.accepts else { return }
    if letsGo { keepWhoIsLetGo() }
    if !acceptor.isPaused { acceptor.arm(&kernel) }
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

  /// Whether there is something to do that no completion will announce. Called before a sleep, after the sleep has been
  /// announced on the bell. A shard that waits for room announces that here. `besideFirehose`: the two share a thread,
  /// and the firehose has announced what it waits for.
  mutating func hasWork(besideFirehose: Bool) -> Bool {
    if hasPackets() || nextToPoll != .none || queries.isAsked { return true }
    // Queued sends are done as they enter the kernel, but that is seen only after a sleep. The firehose may wait for
    // their memory; on another thread it may come to do so at any time.
    if sends.areUnderWay, sends.areAwaited || downlink.isAwaited || !besideFirehose { return true }
    if sweep.isAsked || backendStatus.drops != dropsSeen { return true }
    if unfinished.isAsked || stale.missed.isAsked || stale.isAsked { return true }
    if peers.count > 1, peers.hasSockets() { return true }
    if workers.jobsUnderWay > 0, workers.hasResults() { return true }
    if !lists.others.isEmpty { return true }
    let hasWaiters = !lists.clients.isEmpty || queues.returning.first != nil || sessions.firstOwed != nil
    guard hasWaiters else { return drainCanAdvance() }
    if waitersHaveRoom() || drainCanAdvance() { return true }
    uplink.announceWaits()
    return waitersHaveRoom()
  }

  /// Whether the firehose has something for its clients.
  @inline(__always)
  mutating func hasPackets() -> Bool { downlink.available() > 0 }

  /// About how many of its clients that is for: a run of packets for one client takes one place in the lane.
  mutating func clientsWithPackets() -> Int { min(downlink.available(), connections.count) }

  /// Whether a shard for which nothing has completed needs a turn nevertheless; `due` is its ``nextDeadline()``.
  mutating func needsTurn(due: UInt64, besideFirehose: Bool, _ kernel: borrowing K) -> Bool {
    kernel.now >= due || memory.gauge.isShort || hasWork(besideFirehose: besideFirehose)
  }

  /// Whether the uplink has room for anything that waits for it. Each waits only for what it needs: 0x01s, and clients
  /// that come back, for the room that nothing else ever takes.
  private mutating func waitersHaveRoom() -> Bool {
    if queues.returning.first != nil, hasControlRoom() { return true }
    if let slot = sessions.firstOwed { return hasRoom(forOwed: slot) }
    return queues.returning.first == nil && hasUplinkRoom()
  }

  /// When the shard has to be called again at the latest.
  mutating func nextDeadline() -> UInt64 {
    var deadline = min(wheel.nextDeadline(), acceptor.due, keepaliveRound.due, memory.samplingDue)
    if let oldest = stale.oldest { deadline = min(deadline, staleExpiry(oldest)) }
    // A thread that sleeps without a deadline does not notice that it stood still, which counts in clients' rates.
    if deadline == .max, settings.pace.isMetered, connections.count > 0 { deadline = .max - 1 }
    if case .reading(let until, let latest) = drain {
      deadline = min(deadline, readingClock.isStopped ? latest : min(readingClock.moment(of: until), latest))
    }
    return deadline
  }

  /// Takes what other roles have for the shard besides packets. Before packets are delivered: a client that is back
  /// gets what it missed first.
  mutating func receiveMessages(_ kernel: inout K) {
    if sampling.turnBegins() { sampleTurn(&kernel) }
    sends.beginTurn()
    if sweep.isAsked { answerSweep(&kernel) }
    if queries.isAsked { answerQueries(&kernel) }
    if peers.count > 1 { adoptSockets(&kernel) }
    if workers.jobsUnderWay > 0 { takeHandshakeResults(&kernel) }
    if queues.returning.first != nil { resumeReturning(&kernel) }
  }

  /// Does what is due by the clock.
  mutating func expire(_ kernel: inout K) {
    if isDue(kernel.now), let time = caughtUp(kernel) { expire(by: time, &kernel) }
    if memory.samplingDue <= kernel.now { sampleKernelMemory(&kernel) }
    if memory.gauge.isShort { evictForMemory(&kernel) }
    if kernel.now >= acceptor.due { acceptor.doChores(&kernel) }
    if kernel.now >= keepaliveRound.due { watch(&kernel) }
    if unfinished.takeRequest() { evictLargestUnfinished(&kernel) }
    if stale.missed.takeRequest() { evictLargestMissed(&kernel) }
    if stale.takeRequest() { evictStale(&kernel) }
    if backendStatus.drops != dropsSeen { endSessionsWithBackend(&kernel) }
    if case .no = drain {} else { advanceDrain(&kernel) }
  }

  /// Makes visible to the firehose, the workers and the other shards what this turn has for them, and wakes those that
  /// are asleep.
  @inline(__always)
  mutating func publish(_ kernel: inout K) {
    if uplink.hasUnpublished { publishUplink(&kernel) }
    if workers.jobsUnderWay > 0 { workers.publish(&kernel) }
    if peers.count > 1 { peers.publish(&kernel) }
  }

  @inline(never)
  private mutating func publishUplink(_ kernel: inout K) {
    if sampling.read != nil { publishSample() }
    if uplink.publish() { firehoseBell.wake(&kernel) }
  }

  @inline(__always)
  mutating func hasUplinkRoom() -> Bool {
    uplink.room(for: Limits.uplinkMinimumRoom) >= Limits.uplinkMinimumRoom && uplink.hasReferenceRoom()
  }
}
