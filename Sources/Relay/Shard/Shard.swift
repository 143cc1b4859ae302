import Glibc
import VoltlaneCrypto
import VoltlaneWire

/// What the flags say about clients. Sizes are bytes, times nanoseconds.
struct ShardSettings: Sendable {
  var maxPacketSize: Int
  var clientSendBuffer: Int
  var packetTimeout: UInt64
}

/// One shard: its listeners, its clients, its sessions. A role that a host drives; nothing of it is touched by another
/// thread. This file is what it holds and what it is asked; how clients get in, are read, written and closed stands in
/// the files beside it.
struct Shard: ~Copyable {
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
    /// A unix listener's socket is shared by all shards; it is closed by the relay, not by one of them.
    let isShared: Bool
  }

  enum Drain {
    case no
    /// What clients have sent is read, at most until the times given: one on the clock that stands still while the
    /// shard cannot read, one on the real one.
    case reading(until: UInt64, latest: UInt64)
    /// Sessions have been told to end; 0x01s that found no room, and sockets, remain.
    case ending
    /// Everything for the backend is in the lane.
    case handedOver
  }

  let index: Int
  let settings: ShardSettings
  let counters: Counters
  let control: ControlBlock
  let budget: AssemblyBudget
  /// The relay's public key as it goes to each client.
  let keyPacket: FramedHandshakePacket

  var listeners: [Listener]
  var acceptPause = Limits.acceptPauseFirst
  /// When accepting goes on after a pause; `.max` while there is none.
  var acceptResumes: UInt64 = .max

  var connections: ConnectionTable
  var sessions: SessionTable
  /// Clients to read, while the uplink has room.
  var ready = ReadyList()
  /// Connections whose reads need no room there: they shake hands or close.
  var readyAside = ReadyList()
  /// Connections in the handshake that are not read while every worker is full.
  var waitingForWorker = ReadyList()
  var wheel: TimerWheel
  var unfinished = UnfinishedPackets()
  var events: EventLog
  var malformedHandshakes = RateLimit()

  var uplink: UplinkProducer
  let firehoseBell: Bell
  /// Those of all shards.
  let shardBells: FixedArray<Bell>
  var downlink: RecordConsumer<Descriptor>
  let downlinkMemory: DownlinkMemory
  var workers: FixedArray<Worker>
  var nextWorker = 0

  /// Where clients are read into, behind room for the start of a packet that came before.
  let readBuffer: ReadBuffer
  /// Where packets for one client are put together.
  let gather: GatherBuffer
  /// Connections with something to send in this turn.
  let dirty: SlotList
  var sendsOutstanding = 0

  /// Time that the shard spent not reading because the uplink was full, and since when it does; packets' deadlines
  /// leave it out.
  var pausedTotal: UInt64 = 0
  var pausedSince: UInt64 = .max

  var drain = Drain.no

  /// The listeners of a shard whose thread did not start.
  deinit {
    for listener in listeners where !listener.isShared { close(listener.socket) }
  }

  // MARK: What a host asks

  /// Starts accepting.
  mutating func start<K: Kernel & ~Copyable>(_ kernel: inout K) {
    armListeners(&kernel)
  }

  /// Takes note of a completion. Reading and writing follow in the turn.
  @inline(__always)
  mutating func handle<K: Kernel & ~Copyable>(_ completion: Completion, _ kernel: inout K) {
    switch completion.token.purpose {
    case .clientReadable: clientReadable(completion, &kernel)
    case .clientSent: clientSent(completion, &kernel)
    case .clientWritable: clientWritable(completion, &kernel)
    case .accept: accepted(completion, &kernel)
    default: break
    }
  }

  /// Whether there is something to do that no completion will announce. Called before a sleep, after the bell has been
  /// told; a shard that waits for room says so here.
  mutating func hasWork() -> Bool {
    if sendsOutstanding == 0, downlink.available() > 0 { return true }
    for worker in 0..<workers.count where workers[worker].results.available() > 0 { return true }
    if !readyAside.isEmpty || budget.hasRequest(index) { return true }
    guard !ready.isEmpty || sessions.firstOwed != nil else { return drainCanAdvance }
    if hasUplinkRoom() { return true }
    uplink.announceWaits()
    return hasUplinkRoom()
  }

  /// When the shard has to be called again at the latest.
  mutating func nextDeadline() -> UInt64 {
    var deadline = min(wheel.nextDeadline, acceptResumes)
    if case .reading(let until, let latest) = drain {
      deadline = min(deadline, pausedSince == .max ? min(until &+ pausedTotal, latest) : latest)
    }
    return deadline
  }

  /// What is due by the clock.
  mutating func expire<K: Kernel & ~Copyable>(_ kernel: inout K) {
    while let index = wheel.nextDue(now: kernel.now, connections) { expired(index, &kernel) }
    if kernel.now >= acceptResumes {
      acceptResumes = .max
      armListeners(&kernel)
    }
    if budget.takeRequest(index) { endLargestUnfinished(&kernel) }
    if case .no = drain {} else { advanceDrain(&kernel) }
  }

  /// Shows the firehose and the workers what this turn has for them, and wakes those that sleep.
  mutating func publish<K: Kernel & ~Copyable>(_ kernel: inout K) {
    if uplink.publish(), firehoseBell.takeSleep() { kernel.ring(firehoseBell) }
    for worker in 0..<workers.count {
      if workers[worker].jobs.publish(), workers[worker].bell.takeSleep() { kernel.ring(workers[worker].bell) }
    }
  }

  // MARK: Sessions

  @inline(__always)
  mutating func hasUplinkRoom() -> Bool {
    uplink.room(for: Limits.uplinkMinimumRoom) >= Limits.uplinkMinimumRoom && uplink.hasReferenceRoom()
  }

  /// Ends the session of a connection: its 0x01 goes behind all its data, or waits in the session's own slot for room.
  mutating func endSession<K: Kernel & ~Copyable>(of index: UInt32, _ reason: CloseReason, _ kernel: inout K) {
    let slot = connections[index].pointee.session
    guard slot != .none else { return }
    connections[index].pointee.session = .none
    let id = sessions[slot].pointee.id
    if sessions.firstOwed == nil, uplink.room(for: 64) >= 64 {
      appendFailure(id, reason.text)
      sessions.end(slot)
    } else {
      sessions.owe(slot, reason)
    }
    counters.add(.sessionsEnded)
    if events.wants(.debug) { events.post(.sessionEnded(id: id, reason), &kernel) }
  }

  /// Sends the 0x01s that waited for room, oldest first.
  mutating func settleOwed() {
    while let slot = sessions.firstOwed, uplink.room(for: 64) >= 64 {
      appendFailure(sessions[slot].pointee.id, sessions[slot].pointee.reason.text)
      sessions.settleFirstOwed()
    }
  }

  /// The answer to a packet for an id that is not a session. Takes only room that nothing else is kept for.
  mutating func answerUnknown(_ id: UInt64) {
    counters.add(.packetsUnknownClient)
    guard uplink.room(for: Limits.uplinkReserve) >= Limits.uplinkReserve, sessions.firstOwed == nil else {
      counters.add(.answersDropped)
      return
    }
    appendFailure(id, CloseReason.unknownClient)
  }

  private mutating func appendFailure(_ id: UInt64, _ reason: StaticString) {
    uplink.append(id: id, flag: .failure, reason.utf8Start, reason.utf8CodeUnitCount)
  }
}
