import Glibc
import VoltlaneWire

/// The firehose core, the only owner of the backend's socket. A host drives this role, on a thread of its own or on a
/// shard's. This file has what it holds and what its host asks of it; dialling, the way up and the way down are in the
/// files beside it.
struct Firehose<K: Kernel & ~Copyable>: ~Copyable {
  /// The firehose's ends of its lanes with one shard.
  struct Lane: ~Copyable {
    var uplink: UplinkConsumer
    var downlink: RecordProducer<Descriptor>
    let bell: RoleBell
    let sweep: SweepLane
    var sweepAnswers: RecordConsumer<SweepAnswer>
    /// The shard's 0x03s for this connection; nil until the shard has answered.
    var announcement: SweepAnswer?
  }

  /// | state       | what it means                                                                              |
  /// |-------------|--------------------------------------------------------------------------------------------|
  /// | `resolving` | the name is being looked up; at `deadline` that has taken too long                         |
  /// | `dialing`   | the connection is being established, until `deadline` at most                              |
  /// | `proving`   | connected, but not known to be to a backend, until `deadline` at most: see                 |
  /// |             | Firehose+Probation.swift                                                                   |
  /// | `connected` | what is connected counts as the backend; at `deadline` the connection counts as stable     |
  /// | `waiting`   | the next dial comes at `deadline`                                                          |
  /// | `finishing` | the relay is shutting down: everything was sent, and a FIN. Input is discarded until the   |
  /// |             | backend's FIN                                                                              |
  /// | `done`      | nothing more is sent. What the shards still have for a backend that is lost for good is    |
  /// |             | discarded                                                                                  |
  typealias State = FirehoseState

  let counters: Counters
  let distributions: Distributions
  let control: ControlBlock
  let ids: ClientIDs
  var settings: FirehoseSettings
  let backendStatus: BackendStatus
  var events: EventLog

  var lanes: FixedArray<Lane>
  /// The lane with which the next send begins: one whose packet was sent in part, otherwise each in turn.
  var firstLane = 0
  let vectors: UnsafeMutablePointer<iovec>
  /// Sends until the next one of which the size is noted.
  var sendsToSample = Limits.sendsPerSample

  /// What was read from the backend: received up to `read`, cut into packets up to `parsed`.
  let memory: DownlinkMemory
  var read: UInt64 = 0
  var parsed: UInt64 = 0
  /// The lane that has no room for the next packet, which is at `parsed`.
  var stalledLane: Int?
  /// The packet at `parsed`, if it is for many clients and has not been passed on to all of them.
  var multicast: MulticastProgress?

  var state = State.idle {
    didSet { backendStatus.state = state }
  }
  var socket: Int32 = -1
  /// Counts sockets, so that a late completion for the last one is not mistaken for one of this one.
  var generation: UInt32 = 0
  var readable = false
  /// The poll said that the backend hung up, or the relay is shutting down: reads continue until one finds nothing.
  var hungUp = false
  var waitsForRoom = false
  /// The error with which a send failed: what can still be read is delivered, then the connection is given up.
  var sendError: Int32 = 0

  /// The sweep with which every connection but the first begins.
  var sweep = Sweep.none
  var sweepRequest: UInt64 = 0
  /// How many bytes of the announcement that is being sent the socket has taken, and which lane it belongs to.
  var sweepOffset = 0
  var sweepLane = 0

  /// The packet within which the last connection died, by its lane and its position there.
  var suspect: (lane: Int, position: UInt64)?
  /// The client whose packet was given up, while its shard has not been told.
  var refusedClient: UInt64?

  /// When the present ``State`` runs out; `.max` if it has no limit.
  var deadline: UInt64 = .max
  /// When to check whether the backend still acknowledges.
  var silenceCheck: UInt64 = .max
  /// Since when it has owed an acknowledgement, as far as the checks have seen; `.max` if it owes none.
  var silentSince: UInt64 = .max
  /// What it has not taken, the age at which that is logged next, and the age that was logged last; 0 if none was.
  var behind = UntakenBytes()
  var nextBehindEvent = Limits.backendBehindFirst
  var toldBehind: UInt64 = 0
  /// When the sessions that are held are dropped because the backend has been away for too long.
  var dropDeadline: UInt64 = .max
  /// How much of that time was left when the present connection proved itself. It continues from there if the
  /// connection is lost before it is stable.
  var lossTimeLeft: UInt64 = .max
  var hasConnected = false
  var dialDelay = Limits.dialDelayFirst
  var dialCount = 0
  /// How often the look-up has been started for this dial.
  var lookUpTries = 0
  var connectedAt: UInt64 = 0
  /// How long the next connection is on probation.
  var probation = Limits.probationFirst
  /// The longest life among the connections that lengthened the probation.
  var shortLife: UInt64 = 0
  /// How many dials in a row were refused.
  var refusals = 0
  /// Whether bytes have arrived on the connection.
  var hasSpoken = false
  /// What has been logged about dials that failed and connections that did not last.
  var failures = FailureLog()
  /// The last loss was not logged, because one like it had been logged shortly before. Nor is the next connection,
  /// until it is stable.
  var isFlapping = false

  var drain = Drain.no

  // MARK: What a host asks

  /// Changes to other settings. What happens when the backend is lost applies from the next loss on.
  mutating func apply(_ new: HostSettings) {
    settings = new.firehose
    events.minimum = new.eventLevel
    // Check at once: the next check was scheduled by the old `--backend-timeout`.
    if silenceCheck < .max { silenceCheck = 0 }
  }

  mutating func start(_ kernel: inout K) {
    startLossTimer(kernel.now, settings.backendLossTimeout)
    beginDial(&kernel)
  }

  mutating func handle(_ completion: Completion, _ kernel: inout K) {
    if completion.token.purpose == .resolved { return lookUpEnded(completion, &kernel) }
    guard completion.token.generation == generation, socket >= 0 else { return }
    switch completion.token.purpose {
    case .firehoseReadable:
      readable = true
      if completion.result < 0 || completion.result & PollBits.hangup != 0 { hungUp = true }
      if !completion.more { kernel.submit(.pollReadable(socket), completion.token) }
    case .firehoseWritable:
      waitsForRoom = false
      if state == .dialing { dialled(&kernel) }
    default: break
    }
  }

  @inline(never)
  private mutating func lookUpEnded(_ completion: Completion, _ kernel: inout K) {
    let lookUp = kernel.lookUp(completion)
    if state == .resolving { resolved(lookUp, &kernel) }
  }

  /// Whether the backend has been sent everything and the FIN, or is not there to be sent anything.
  mutating func isDone() -> Bool { state == .done }

  /// When the firehose has to be called again at the latest.
  mutating func nextDeadline() -> UInt64 {
    let next = min(deadline, silenceCheck, dropDeadline)
    return if case .reading(let until) = drain { min(next, until) } else { next }
  }

  /// Whether there is something to do that no completion will announce. Called before a sleep, after the sleep has been
  /// announced on the bell. A firehose that waits for room in a lane announces that here.
  mutating func hasWork() -> Bool {
    if state == .connected, !waitsForRoom, sendError == 0 {
      for lane in 0..<lanes.count {
        if sweep == .none ? !lanes[lane].uplink.isEmpty : lanes[lane].sweepAnswers.available() > 0 { return true }
      }
    }
    if let refusedClient {
      if canTellRefusal() { return true }
      lanes[refusalLane(refusedClient)].downlink.announceWaits()
      if canTellRefusal() { return true }
    }
    if state != .connected, hasWorkUnconnected() { return true }
    if isDrainedUp(), state != .done, state != .finishing { return true }
    guard state == .connected, readable || stalledLane != nil || sendError != 0 else { return false }
    return canReceive()
  }

  @inline(never)
  private mutating func hasWorkUnconnected() -> Bool {
    switch state {
    case .proving, .finishing: readable
    case .done: !isUplinkEmpty()
    case .idle, .resolving, .dialing, .waiting, .connected: false
    }
  }

  /// Does what is due by the clock, and what remains to be done when the relay shuts down.
  @inline(__always)
  mutating func expire(_ kernel: inout K) {
    let due = min(deadline, silenceCheck, dropDeadline)
    // What arrived in time is handled first (a connection, an answer), but a deadline does not wait for that for ever.
    if kernel.now >= due, kernel.hasBroughtAll || kernel.now &- due >= Limits.catchUp { expireDue(&kernel) }
    if state == .done { discardUplink(&kernel) }
    if refusedClient != nil { tellRefusal(&kernel) }
    if case .reading = drain { advanceDrain(&kernel) }
    if isDrainedUp() { finish(&kernel) }
  }

  @inline(never)
  private mutating func expireDue(_ kernel: inout K) {
    if kernel.now >= deadline {
      deadline = .max
      switch state {
      case .resolving: lookUpHangs(&kernel)
      case .dialing: dialFailed(.dial(errno: ETIMEDOUT), &kernel)
      case .proving: endProbation(&kernel)
      case .connected: becomeStable(&kernel)
      case .waiting: beginDial(&kernel)
      default: break
      }
    }
    if kernel.now >= silenceCheck { watchBackend(&kernel) }
    if kernel.now >= dropDeadline { dropSessions(&kernel) }
  }
}
