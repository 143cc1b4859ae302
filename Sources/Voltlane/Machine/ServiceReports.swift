import Glibc

/// What the service manager hears of a running relay, and when. The control thread asks it in each of its rounds.
struct ServiceReports {
  typealias Instant = SuspendingClock.Instant

  private let manager: ServiceManager
  private var watchdog: Watchdog?
  private var status = ""
  private var statusDue: Instant
  /// Why nobody hears the reports; 0 if somebody does.
  private(set) var error: Int32
  /// The manager has no room for more messages, and has not heard yet that the relay is ready.
  private var owesReady: Bool

  /// How often the status is looked at. It is told where it has changed.
  static let statusInterval = Duration.seconds(5)

  /// The relay serves clients.
  init(_ manager: ServiceManager, status: String, now: Instant = .now) {
    self.manager = manager
    self.status = status
    watchdog = manager.watchdog.map { Watchdog(within: $0, now: now) }
    statusDue = now + Self.statusInterval
    error = manager.tell(.status(status), .ready)
    owesReady = Self.mayBeHeardLater(error)
  }

  /// Many units that start together may fill the manager's queue.
  private static func mayBeHeardLater(_ error: Int32) -> Bool { [EAGAIN, ENOBUFS, ENOMEM].contains(error) }

  /// How long it may take until ``look(now:silent:call:status:)`` is called again.
  func wait(now: Instant = .now) -> Duration {
    max(.zero, now.duration(to: min(statusDue, watchdog?.due ?? statusDue)))
  }

  /// Threads have not answered for the first time, or have done so again.
  enum Change: Equatable {
    case silent([String])
    case heard
  }

  /// Tells what is due. `silent` are the threads that have not answered the last call, and `call` calls them again.
  mutating func look(
    now: Instant = .now, silent: () -> [String], call: () -> Void, status: () -> String
  ) -> Change? {
    if now >= statusDue {
      statusDue = now + Self.statusInterval
      if owesReady { endReload() }
      tell(status: status())
    }
    guard let outcome = watchdog?.look(now: now, silent: silent) else { return nil }
    if outcome.isAlive { manager.tell(.alive) }
    if outcome.calls { call() }
    return outcome.change
  }

  mutating func tell(status new: String) {
    guard new != status else { return }
    status = new
    manager.tell(.status(new))
  }

  mutating func beginReload() {
    owesReady = false
    manager.tell(.reloading)
  }

  mutating func endReload() { owesReady = Self.mayBeHeardLater(manager.tell(.ready)) }

  mutating func stop(status: String) {
    manager.tell(.stopping)
    tell(status: status)
  }
}

/// Gives the service manager a sign of life for as long as every thread of the relay gives one: threads are called four
/// times within the time that the manager waits, and it hears of a call that all of them have answered.
///
/// Invariant: between two looks at least a quarter of that time passes, and all threads have been called since the
/// first.
struct Watchdog {
  typealias Instant = ServiceReports.Instant

  private let interval: Duration
  private(set) var due: Instant
  private var hasCalled = false
  private var isSilent = false

  init(within time: Duration, now: Instant) {
    interval = time / 4
    due = now
  }

  struct Outcome: Equatable {
    var isAlive = false
    var calls = false
    var change: ServiceReports.Change?
  }

  /// nil if it is too early.
  mutating func look(now: Instant, silent: () -> [String]) -> Outcome? {
    guard now >= due else { return nil }
    let isLate = now - due > interval / 2
    due = now + interval
    guard hasCalled else {
      hasCalled = true
      return Outcome(calls: true)
    }
    let silent = silent()
    // The whole process may have stood still, and the other threads have had no time to answer since.
    if isLate, !isSilent, !silent.isEmpty { return Outcome(calls: true) }
    let wasSilent = isSilent
    isSilent = !silent.isEmpty
    guard isSilent else { return Outcome(isAlive: true, calls: true, change: wasSilent ? .heard : nil) }
    // Their answer to the last call is still to come.
    return Outcome(change: wasSilent ? nil : .silent(silent))
  }
}
