import Synchronization

/// Something that the log tells. Roles post events into bounded lanes; the control thread writes them out, so that no
/// host ever waits for a log.
public enum Event: Sendable, BitwiseCopyable {
  /// The backend is there: its connection has shown itself. `isRepeated` where connections come and go, which is told
  /// once in a while only.
  case backendConnected(isRepeated: Bool)
  /// The connection to the backend ended; the error number, 0 for its FIN. With `--backend-loss exit` it was the last.
  /// `count` losses of this kind since the last of these events that had a count; none where it is told later.
  case backendLost(errno: Int32, isDialledAgain: Bool, count: UInt64?)
  /// No backend; how often, since the last of these events with this failure.
  case backendNotReached(BackendFailure, count: UInt64)
  /// The backend does not take what waits for it; how old the oldest byte is, in nanoseconds.
  case backendBehind(age: UInt64)
  /// It has taken everything that it was behind with, which had been this old.
  case backendCaughtUp(age: UInt64)
  /// A size prefix above the maximum, which is that of a client's packet and its tag: the connection is dropped.
  case backendOversized(size: UInt32, maximum: UInt32)
  /// Tagged packets that were skipped; how many since the last of these events.
  case backendMalformed(MalformedPacket, count: UInt64)
  case sessionStarted(id: UInt64)
  case sessionEnded(id: UInt64, CloseReason)
  case handshakesRefused(count: UInt64)
  /// Clients that were not let in, or not let on; how many since the last of these events with this reason.
  case clientsRefused(RefusalReason, count: UInt64)
  /// An address was banned; how many were since the last of these events.
  case addressesBanned(AddressKey, count: UInt64)
  /// An address was shunned; how many were since the last of these events.
  case addressesShunned(AddressKey, count: UInt64)
  /// Connections were let in that count for no address, because the table had no place; how many since the last event.
  case clientsUncounted(count: UInt64)
  /// Sessions that a limit of each client ended; how many since the last of these events with this reason.
  case sessionsEnded(CloseReason, count: UInt64)
  /// Clients over a rate are not read for a while; how many times since the last of these events with this rate.
  case clientsSlowed(ClientRate, count: UInt64)
  /// Sessions that ended, with `memory`, for a budget of all; how many since the last of these events with this budget.
  case budgetExceeded(Budget, count: UInt64)
  case sessionStale(id: UInt64)
  case sessionReturned(id: UInt64)
  /// A response that does not open to the challenge, or is the challenge itself.
  case reconnectionRefused(id: UInt64)
  case acceptPaused(errno: Int32)
  /// The kernel refused to enter a thread's ring; how many times since the last of these events.
  case ringRefused(errno: Int32, count: UInt64)
  /// All sessions end with the backend's connection.
  case sessionsDropped
  /// A packet within which two connections died was given up, and its client ended.
  case packetRefused(id: UInt64)
  case eventsDropped(count: UInt64)

  public enum MalformedPacket: Sendable, BitwiseCopyable { case tooShort, unknownFlag, wrongDirection }

  /// What clients hold together: of packets that are not whole yet, of those missed, and of everything; and what the
  /// system gives, which is a budget of its own.
  public enum Budget: UInt8, Sendable, CaseIterable, BitwiseCopyable {
    case unfinishedPackets, missedPackets, memory, system
  }

  /// How important an event is.
  public enum Level: UInt8, Sendable, Comparable, BitwiseCopyable {
    case debug, info, warning, error
    public static func < (a: Level, b: Level) -> Bool { a.rawValue < b.rawValue }
  }

  public var level: Level {
    switch self {
    case .sessionStarted, .sessionEnded, .sessionStale, .sessionReturned, .reconnectionRefused, .handshakesRefused:
      .debug
    case .backendConnected(isRepeated: true), .backendLost(_, _, count: nil): .debug
    case .backendConnected, .backendCaughtUp, .sessionsEnded, .clientsSlowed: .info
    case .backendLost, .backendNotReached, .backendBehind, .backendOversized, .backendMalformed, .acceptPaused,
      .ringRefused,
      .sessionsDropped, .packetRefused, .clientsRefused, .addressesBanned, .addressesShunned, .clientsUncounted,
      .budgetExceeded, .eventsDropped:
      .warning
    }
  }
}

/// A role's end of its event lane.
struct EventLog: ~Copyable {
  private var lane: RecordProducer<Event>
  /// Less important events are not posted.
  var minimum: Event.Level
  private let control: ControlBlock
  private var dropped: UInt64 = 0

  init(_ lane: RecordLane<Event>, minimum: Event.Level, control: ControlBlock) {
    self.lane = RecordProducer(lane)
    self.minimum = minimum
    self.control = control
  }

  @inline(__always)
  func wants(_ level: Event.Level) -> Bool { level >= minimum }

  @inline(never)
  mutating func post<K: Kernel & ~Copyable>(_ event: Event, _ kernel: inout K) {
    guard wants(event.level) else { return }
    if dropped > 0, lane.hasRoom() {
      lane.push(.eventsDropped(count: dropped))
      dropped = 0
    }
    if lane.hasRoom() {
      lane.push(event)
    } else {
      dropped += 1
    }
    if lane.publish() { kernel.wakeControl() }
  }
}

/// Lets an event through once a second and counts those it held back.
struct RateLimit {
  private var next: UInt64 = 0
  private var held: UInt64 = 0

  /// How many there have been since the last one let through, this one included; nil where this one is held back.
  mutating func admit(now: UInt64) -> UInt64? {
    held += 1
    guard now >= next else { return nil }
    next = now + Limits.second
    defer { held = 0 }
    return held
  }
}
