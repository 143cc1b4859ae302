import ArgumentParser
import Glibc
import Logging
import Relay
import VoltlaneService
import VoltlaneSettings

/// What the main thread does while the relay runs: it writes events to the log and, when a signal asks for it, logs the
/// counters, reloads the settings, or ends the relay.
struct ControlLoop {
  let relay: Relay
  let signals: Signals
  var reload: Reload
  let background: BackgroundReload
  var log: Logger
  /// Where the admin endpoint leaves its questions; nil if there is none.
  var desk: AdminDesk?
  /// The state of the reload that SIGHUP has asked for.
  private var reading = Reading.none
  /// After this it is too late for the outcome; nil if nothing is in progress.
  private var readingTime: TimeLeft?

  private enum Reading: Equatable {
    case none
    /// SIGHUP came again, so the files will be read once more afterwards.
    case underWay(again: Bool)
    /// It hangs, and its outcome will not count.
    case overdue
  }

  /// How long reading the files may take: longer than the wait for one that is being written.
  private static let longestReading = Duration.seconds(15)
  /// How many mistakes are logged: a file that is not a settings file at all has one on each line.
  private static let mostProblems = 20

  init(relay: Relay, signals: Signals, reload: Reload, background: BackgroundReload, log: Logger) {
    self.relay = relay
    self.signals = signals
    self.reload = reload
    self.background = background
    self.log = log
  }

  /// What ended the relay.
  enum Ending {
    case asked
    /// The backend was lost, with `--backend-loss exit`.
    case backendLost

    var exitCode: ExitCode {
      switch self {
      case .asked: .success
      // EX_TEMPFAIL of sysexits.h: starting again may help.
      case .backendLost: ExitCode(75)
      }
    }
  }

  /// How long the relay's threads may take to end once they were told to: there is nothing for them to wait for.
  private static let stopTime = Duration.seconds(2)

  /// Returns when the relay has stopped. SIGUSR1 logs the counters and SIGHUP reloads; the first other signal drains,
  /// the second ends the process.
  mutating func run() -> Ending {
    var ending = Ending.asked
    var deadline: TimeLeft?
    while true {
      // Before anything is asked of the relay, because it resets the relay's signal; and before the first wait, because
      // the relay's start has done so too.
      logEvents()
      if deadline == nil, let own = endingOfItsOwn {
        log.error(
          """
          ending with the backend, as --backend-loss exit asks: draining, at most \
          \(relay.configuration.shutdownTimeout.setting), then exit code \(own.exitCode.rawValue)
          """)
        ending = own
        deadline = drain()
      }
      finishReading(isEnding: deadline != nil)
      if deadline != nil, relay.isFinished { break }
      switch wait(&deadline) {
      case .readable:
        break
      case .timeout:
        log.warning(
          "--shutdown-timeout is over: closing what is still open and discarding what is still queued")
        stop()
        return ending
      case .signal(SIGUSR1):
        logCounters()
      case .signal(SIGHUP) where deadline == nil:
        beginReading()
      case .signal(SIGHUP):
        log.warning("SIGHUP: not reloaded: the relay is ending")
      case .signal(let signal) where deadline == nil && signal != SIGQUIT:
        log.info("\(name(signal)): draining, at most \(relay.configuration.shutdownTimeout.setting)")
        deadline = drain()
      case .signal(let signal):
        end(by: signal)
      }
    }
    stop()
    return ending
  }

  /// Also `.readable` if time is left and nothing has arrived yet, but something that was held back from the log is
  /// due, or the time for a reload is over.
  private mutating func wait(_ deadline: inout TimeLeft?, withReading: Bool = true) -> Signals.Wake {
    let times = [deadline?.wait, relay.nextEvents, withReading ? readingTime?.wait : nil]
    let wake = signals.wait(
      or: relay.signal, withReading ? background.signal : -1, atMost: times.compactMap { $0 }.min())
    deadline?.look()
    readingTime?.look()
    return wake == .timeout && deadline?.isOver != true ? .readable : wake
  }

  // MARK: Reloading

  private mutating func beginReading() {
    switch reading {
    case .none: break
    case .underWay:
      reading = .underWay(again: true)
      return
    case .overdue:
      log.error("SIGHUP: not reloaded: an earlier SIGHUP is still waiting for a file")
      return
    }
    do {
      try background.begin(reload)
      reading = .underWay(again: false)
      readingTime = TimeLeft(Self.longestReading)
    } catch {
      log.error("SIGHUP: not reloaded: \(error)")
    }
  }

  /// Takes what was read, if it has been; gives up what takes too long.
  private mutating func finishReading(isEnding: Bool) {
    if let outcome = background.take() {
      let before = reading
      reading = .none
      readingTime = nil
      guard case .underWay(let again) = before, !isEnding else { return }
      adopt(outcome)
      if again { beginReading() }
    } else if readingTime?.isOver == true {
      reading = .overdue
      readingTime = nil
      let files = ([reload.settings.configuration.file].compactMap { $0 } + reload.settings.configuration.listFiles)
        .joined(separator: ", ")
      log.error(
        """
        SIGHUP: not reloaded: reading takes longer than \(Self.longestReading.setting); look whether a \
        file system hangs: \(files)
        """)
    }
  }

  /// All or nothing: if anything is wrong, everything stays in effect as it was.
  private mutating func adopt(_ read: BackgroundReload.Outcome) {
    let outcome: Reload.Outcome
    switch read {
    case .success(let read): outcome = read
    case .failure(let error):
      for problem in error.problems.prefix(Self.mostProblems) {
        log.error("SIGHUP: not reloaded: \(problem)")
      }
      let others = error.problems.count - Self.mostProblems
      if others > 0 {
        log.error("SIGHUP: not reloaded: \(others) more mistakes, which --check-config lists")
      }
      return
    }
    if outcome.settings.configuration.file == nil, outcome.settings.configuration.listFiles.isEmpty {
      log.warning("SIGHUP: there is no --config file and no list of networks in a file to reload")
    }
    for warning in outcome.warnings { log.warning("\(warning)") }
    guard relay.reconfigure(outcome.settings.configuration.relay) else {
      log.error("SIGHUP: not reloaded: the last reload is still in progress")
      return
    }
    reload.adopt(outcome)
    desk?.take(relay.configuration)
    // Before its level changes.
    for change in outcome.changes where !change.isLowered { log.info("SIGHUP: \(change)") }
    for change in outcome.changes where change.isLowered {
      log.warning("SIGHUP: \(change); this protects less than before")
    }
    for change in outcome.needRestart { log.warning("SIGHUP: \(change), from the next start on") }
    if outcome.changes.isEmpty, outcome.needRestart.isEmpty { log.info("SIGHUP: no setting has changed") }
    log.logLevel = outcome.settings.configuration.logLevel
  }

  // MARK: Ending

  /// Why the relay wants to end without having been asked to.
  private var endingOfItsOwn: Ending? { relay.isEndedByBackendLoss ? .backendLost : nil }

  /// Begins the orderly end, and returns the time allowed for it.
  private func drain() -> TimeLeft {
    relay.drain()
    return TimeLeft(relay.configuration.shutdownTimeout)
  }

  private mutating func stop() {
    relay.beginStop()
    var deadline: TimeLeft? = TimeLeft(Self.stopTime)
    while true {
      // Resets the relay's signal first.
      logEvents()
      if relay.hasStopped { break }
      switch wait(&deadline, withReading: false) {
      case .readable, .signal(SIGUSR1), .signal(SIGHUP):
        break
      case .timeout:
        log.critical("the relay's threads do not end: exiting all the same, and discarding what is queued")
        // EX_SOFTWARE of sysexits.h.
        leave(with: 70)
      case .signal(let signal):
        end(by: signal)
      }
    }
    relay.stop()
    relay.takeLastEvents(log)
  }

  /// Ends the process because of a signal. The exit code is the one that a shell would report.
  private func end(by signal: Int32) -> Never {
    log.warning("\(name(signal))\(signal == SIGQUIT ? "" : " again"): exiting at once, and discarding what is queued")
    leave(with: 128 + signal)
  }

  /// Ends the process at once, without handlers and without waiting for threads.
  private func leave(with code: Int32) -> Never {
    relay.takeLastEvents(log)
    System.flushLog(milliseconds: Program.lastLines)
    _exit(code)
  }

  private func logEvents() {
    relay.takeEvents(log)
    desk?.mailbox.deliver(to: relay)
  }

  private func log(_ event: Event) {
    let (message, metadata) = event.logged
    log.log(level: event.level.logged, message, metadata: metadata)
  }

  /// Everything that was counted since the start and is not 0, in one line, by the names that the code uses.
  private func logCounters() {
    var counted: Logger.Metadata = [:]
    for metric in Metric.allCases where relay[metric] > 0 { counted["\(metric)"] = .number(relay[metric]) }
    if System.droppedLines > 0 { counted["logLinesDropped"] = .number(System.droppedLines) }
    var threads: Logger.Metadata = [:]
    for (thread, roles, cpuTime) in relay.hosting {
      let has = roles.isEmpty ? "nothing" : roles.joined(separator: ", ")
      threads[thread] = "\(has); CPU time \(cpuTime.components.seconds) s"
    }
    log.info("SIGUSR1: what the threads have", metadata: threads)
    log.info("SIGUSR1: totals since the start", metadata: counted)
  }

  private func name(_ signal: Int32) -> String {
    switch signal {
    case SIGTERM: "SIGTERM"
    case SIGINT: "SIGINT"
    case SIGQUIT: "SIGQUIT"
    default: "signal \(signal)"
    }
  }
}
