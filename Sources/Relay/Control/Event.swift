/// Something that is written to the log. Roles post events into bounded lanes, and the control thread writes them out,
/// so that no host ever waits for the log.
public enum Event: Sendable, BitwiseCopyable {
  /// The backend is there: its connection has proved itself. `isRepeated` if connections come and go, which is only
  /// logged now and then.
  case backendConnected(isRepeated: Bool)
  /// The connection to the backend ended; the error number, 0 for its FIN. With `--backend-loss exit` it was the last.
  /// `count` is how many losses of this kind there were since the last of these events that had a count; nil if it will
  /// be logged later.
  case backendLost(errno: Int32, isDialledAgain: Bool, count: UInt64?)
  /// There is no backend; how often, since the last of these events with this failure.
  case backendNotReached(BackendFailure, count: UInt64)
  /// The backend does not take what is queued for it; how old the oldest byte is, in nanoseconds.
  case backendBehind(age: UInt64)
  /// It has taken everything that it was behind with, and how old that had become.
  case backendCaughtUp(age: UInt64)
  /// A size prefix above the maximum, which is the largest packet of a client plus its tag: the connection is closed.
  case backendOversized(size: UInt32, maximum: UInt32)
  /// Sessions, with the address from which the client connected last.
  case sessionStarted(id: UInt64, from: AddressKey)
  case sessionEnded(id: UInt64, CloseReason, from: AddressKey)
  // From here up to `eventsDropped`, roles post nothing: these events are made from what they count (``Digest``).
  /// Connections that broke the rules of the handshake; how many since the last of these events, and which address had
  /// most.
  case handshakesRefused(count: UInt64, most: Most? = nil)
  /// Clients that were kept out or thrown out; how many since the last of these events with this reason, and which
  /// address had most of them.
  case clientsRefused(RefusalReason, count: UInt64, most: Most? = nil)
  /// An address was banned; how many were since the last of these events.
  case addressesBanned(AddressKey, count: UInt64)
  /// An address was shunned; how many were since the last of these events.
  case addressesShunned(AddressKey, count: UInt64)
  /// Connections were admitted that count for no address, because the table had no place; how many since the last
  /// event.
  case clientsUncounted(count: UInt64)
  /// Sessions that a limit of each client ended; how many since the last of these events with this reason, and which
  /// was the first.
  case sessionsEnded(CloseReason, count: UInt64, first: Session? = nil)
  /// Tagged packets that were skipped; how many since the last of these events with this reason, and the id that most
  /// of them had, where they had one.
  case backendMalformed(MalformedPacket, count: UInt64, id: UInt64? = nil)
  /// Clients that exceed a rate and are not read for a while; how many times since the last of these events with this
  /// rate, and which was the first.
  case clientsSlowed(ClientRate, count: UInt64, first: Session? = nil)
  /// Sessions that ended with `memory` because of a budget of all clients; how many since the last event for this
  /// budget, and which was the first.
  case budgetExceeded(Budget, count: UInt64, first: Session? = nil)
  /// Accepting pauses; how often since the last of these events, and the most frequent error.
  case acceptPaused(errno: Int32, count: UInt64)
  /// Events that found no room in their role's lane; how many since the last of these events.
  case eventsDropped(count: UInt64)
  case sessionStale(id: UInt64, from: AddressKey)
  case sessionReturned(id: UInt64, from: AddressKey)
  /// A response that does not open to the challenge, or is the challenge itself.
  case reconnectionRefused(id: UInt64, from: AddressKey)
  /// The kernel refused to enter a thread's ring; how many times since the last of these events.
  case ringRefused(errno: Int32, count: UInt64)
  /// All sessions end with the backend's connection.
  case sessionsDropped
  /// A shard, or the firehose where that is nil, goes on at another thread.
  case roleMoved(shard: Int?, thread: Int)
  /// The kernel does not say whether CPUs are idle: a full thread is relieved by way of trial.
  case idlenessUnknown
  /// A packet was given up, and its client ended, because two connections died within it.
  case packetRefused(id: UInt64)

  public enum MalformedPacket: Sendable, CaseIterable, BitwiseCopyable {
    case tooShort, unknownFlag, wrongDirection, multicast

    var metric: Metric {
      switch self {
      case .tooShort: .packetsTooShort
      case .unknownFlag: .packetsUnknownFlag
      case .wrongDirection: .packetsWrongDirection
      case .multicast: .packetsMalformedMulticast
      }
    }
  }

  /// One of the sessions that an event is about, and where its client connected from last.
  public struct Session: Sendable, BitwiseCopyable {
    public let id: UInt64
    public let address: AddressKey

    public init(id: UInt64, address: AddressKey) {
      self.id = id
      self.address = address
    }
  }

  /// The address that something happened to most often, and how often at least.
  public struct Most: Sendable, BitwiseCopyable {
    public let address: AddressKey
    public let count: UInt64

    public init(address: AddressKey, count: UInt64) {
      self.address = address
      self.count = count
    }
  }

  /// What clients hold together, of unfinished packets, of missed packets, and of everything; and what the system
  /// provides, which is a budget of its own.
  public enum Budget: UInt8, Sendable, CaseIterable, BitwiseCopyable {
    case unfinishedPackets, missedPackets, memory, systemMemory

    var metric: Metric {
      switch self {
      case .unfinishedPackets: .endedOverAssemblyBudget
      case .missedPackets: .endedOverMissedPackets
      case .memory: .endedOverMemoryBudget
      case .systemMemory: .endedOverSystemMemory
      }
    }
  }

  /// How important an event is.
  public enum Level: UInt8, Sendable, Comparable, BitwiseCopyable {
    case debug, info, warning, error
    public static func < (a: Level, b: Level) -> Bool { a.rawValue < b.rawValue }
  }

  public var level: Level {
    switch self {
    case .sessionStarted, .sessionEnded, .sessionStale, .sessionReturned, .reconnectionRefused, .handshakesRefused,
      .roleMoved:
      .debug
    case .backendConnected(isRepeated: true), .backendLost(_, _, count: nil): .debug
    case .backendConnected, .backendCaughtUp, .sessionsEnded, .clientsSlowed, .idlenessUnknown: .info
    case .backendLost, .backendNotReached, .backendBehind, .backendOversized, .backendMalformed, .acceptPaused,
      .ringRefused,
      .sessionsDropped, .packetRefused, .clientsRefused, .addressesBanned, .addressesShunned, .clientsUncounted,
      .budgetExceeded, .eventsDropped:
      .warning
    }
  }
}

/// A role's end of the log: its event lane, and what it only counts.
struct EventLog: ~Copyable {
  private var lane: RecordProducer<Event>
  /// Less important events are not posted.
  var minimum: Event.Level
  private let counters: Counters
  private let flags: TallyFlags
  private let culprits: Culprits
  private let firstSessions: FirstSessions

  /// `culprits` and `firstSessions` belong to this role alone.
  init(
    _ lane: RecordLane<Event>, minimum: Event.Level, counters: Counters, flags: TallyFlags, culprits: Culprits,
    firstSessions: FirstSessions
  ) {
    self.lane = RecordProducer(lane)
    self.minimum = minimum
    self.counters = counters
    self.flags = flags
    self.culprits = culprits
    self.firstSessions = firstSessions
  }

  @inline(__always)
  func wants(_ level: Event.Level) -> Bool { level >= minimum }

  @inline(never)
  mutating func post<K: Kernel & ~Copyable>(_ event: Event, _ kernel: inout K) {
    guard wants(event.level) else { return }
    guard lane.hasRoom() else { return tally(.eventsDropped, .warning, &kernel) }
    lane.push(event)
    if lane.publish() { kernel.wakeControl() }
  }

  /// Counts something that may happen very often. The log reports it in a line of `level`: the first at once, then,
  /// once a second, how many there were. `key` is the culprit, if the line names whoever did it most. `session` is
  /// whom it happened to, if the line names the first.
  @inline(never)
  mutating func tally<K: Kernel & ~Copyable>(
    _ metric: Metric, _ level: Event.Level, by key: UInt64? = nil, of session: Event.Session? = nil,
    _ kernel: inout K
  ) {
    counters.add(metric)
    if let key { culprits.note(key, metric) }
    if let session { firstSessions.note(session, metric) }
    if wants(level), flags[metric].raiseFirst() { kernel.wakeControl() }
  }
}
