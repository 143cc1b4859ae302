import Glibc
import VoltlaneWire

/// The firehose core: the only owner of the backend's socket. A role that a host drives, on a thread of its own or on
/// the thread of a shard. This file is what it holds and what it is asked; dialling, the way up and the way down stand
/// in the files beside it.
struct Firehose<K: Kernel & ~Copyable>: ~Copyable {
  /// The firehose's ends of its lanes with one shard.
  struct Lane: ~Copyable {
    var uplink: UplinkConsumer
    var downlink: RecordProducer<Descriptor>
    let bell: Bell
    let sweep: SweepLane
    var sweepAnswers: RecordConsumer<SweepAnswer>
    /// The shard's 0x03s for this connection; nil until it has answered.
    var announcement: SweepAnswer?
  }

  enum State {
    case idle
    /// The name is being looked up; that has taken long at `deadline`.
    case resolving
    /// The connection is under way, until `deadline`.
    case dialing
    /// Connected, but to what is still open, until `deadline`: see Firehose+Probation.swift.
    case proving
    /// What is connected counts as the backend; it has settled at `deadline`.
    case connected
    /// The next dial comes at `deadline`.
    case waiting
    /// At the relay's end: everything was sent, and the FIN; input is discarded until the backend's.
    case finishing
    /// Nothing is sent any more. What shards still have for a backend that was lost for good is discarded.
    case done
  }

  let counters: Counters
  let control: ControlBlock
  let ids: ClientIDs
  var settings: FirehoseSettings
  let backendStatus: BackendStatus
  var events: EventLog

  var lanes: FixedArray<Lane>
  /// The lane from which the next send begins: the one whose packet was handed over in part, else each in turn.
  var firstLane = 0
  let vectors: UnsafeMutablePointer<iovec>

  /// What was read from the backend: received up to `read`, cut into packets up to `parsed`.
  let memory: DownlinkMemory
  var read: UInt64 = 0
  var parsed: UInt64 = 0
  /// The lane that has no room for the next packet; `parsed` stands before it.
  var stalledLane: Int?
  /// The packet at `parsed`, where it is for many clients and has not been passed on to all of them.
  var multicast: MulticastProgress?

  var state = State.idle
  var socket: Int32 = -1
  /// Counts sockets, so that a late completion of the last one is told from this one's.
  var generation: UInt32 = 0
  var readable = false
  /// The poll said that the backend hung up, or the relay ends: reads go on until one finds nothing.
  var hungUp = false
  var waitsForRoom = false
  /// A send failed: what can still be read is delivered, then the connection is given up.
  var sendError: Int32 = 0

  /// The sweep with which every connection but the first begins.
  var sweep = Sweep.none
  var sweepRequest: UInt64 = 0
  /// Bytes of the announcement being sent that the socket has taken, and whose it is.
  var sweepOffset = 0
  var sweepLane = 0

  /// The packet within which the last connection died, by its lane and its place there.
  var suspect: (lane: Int, position: UInt64)?
  /// The client of a packet that was given up: its shard has yet to be told.
  var refusedClient: UInt64?

  /// When the next dial comes, or this one is given up.
  var deadline: UInt64 = .max
  /// When to look whether the backend still acknowledges.
  var silenceCheck: UInt64 = .max
  /// Since when it has owed an acknowledgement and given none, as far as was looked; `.max` where it owes none.
  var silentSince: UInt64 = .max
  /// What it has not taken, the age of that from which it is told again, and the last age that was; 0 where none was.
  var behind = UntakenBytes()
  var nextBehindEvent = Limits.backendBehindFirst
  var toldBehind: UInt64 = 0
  /// When held sessions are dropped, because the backend has been away for too long.
  var dropDeadline: UInt64 = .max
  /// What was left of that time when the connection that stands had shown itself; it goes on if that does not settle.
  var lossTimeLeft: UInt64 = .max
  var hasConnected = false
  var dialDelay = Limits.dialDelayFirst
  var dialCount = 0
  /// How often the look-up that is under way was asked for.
  var lookUpTries = 0
  var connectedAt: UInt64 = 0
  /// How long the next connection is on probation.
  var probation = Limits.probationFirst
  /// The longest life of those connections that made it longer.
  var shortLife: UInt64 = 0
  /// Dials that were refused, one after the other.
  var refusals = 0
  /// Bytes have come on the connection.
  var hasSpoken = false
  /// What was told of dials that failed and of connections that did not last.
  var failures = FailureLog()
  /// The last loss was not told, because such a one had been told not long before; nor is the next connection, until it
  /// has settled.
  var isFlapping = false

  var drain = Drain.no

  // MARK: What a host asks

  /// Goes on with other settings. What is to be done at a loss of the backend holds from the next one on.
  mutating func apply(_ new: HostSettings) {
    settings = new.firehose
    events.minimum = new.eventLevel
    // The next look may be hours away, where the backend had a day.
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

  /// Whether the backend has been told the end, or is not there to be told.
  mutating func isDone() -> Bool { state == .done }

  /// When the firehose has to be called again at the latest.
  mutating func nextDeadline() -> UInt64 {
    let next = min(deadline, silenceCheck, dropDeadline)
    return if case .reading(let until) = drain { min(next, until) } else { next }
  }

  /// Whether there is something to do that no completion will announce. Called before a sleep, after the bell has been
  /// told; a firehose that waits for room in a lane says so here.
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

  /// What is due by the clock, and the end.
  mutating func expire(_ kernel: inout K) {
    let due = min(deadline, silenceCheck, dropDeadline)
    // What came in time is taken first, that the backend is there or has answered; but not for ever.
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
      case .connected: settle(&kernel)
      case .waiting: beginDial(&kernel)
      default: break
      }
    }
    if kernel.now >= silenceCheck { watchBackend(&kernel) }
    if kernel.now >= dropDeadline { dropSessions(&kernel) }
  }
}
