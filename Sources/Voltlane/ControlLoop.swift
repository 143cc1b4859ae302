import ArgumentParser
import Glibc
import Logging
import Relay
import VoltlaneService
import VoltlaneSettings

/// What the main thread does while the relay runs: it writes events to the log, and when a signal asks, it writes what
/// was counted, reads the settings anew, or ends the relay.
struct ControlLoop {
  let relay: Relay
  let signals: Signals
  var reload: Reload
  let background: BackgroundReload
  var log: Logger
  /// How the reading of settings stands that SIGHUP has asked for.
  private var reading = Reading.none
  /// Until what is read comes too late; nil where nothing is under way.
  private var readingTime: TimeLeft?

  private enum Reading: Equatable {
    case none
    /// Where SIGHUP came once more, it is read again afterwards.
    case underWay(again: Bool)
    /// It hangs, and its outcome will count for nothing.
    case overdue
  }

  /// How long files may take to read: longer than one that is being written is waited for.
  private static let longestReading = Duration.seconds(15)
  /// How many mistakes are logged: a file that is no file of settings at all has one in each line.
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
      // EX_TEMPFAIL of sysexits.h: to start again may help.
      case .backendLost: ExitCode(75)
      }
    }
  }

  /// How long the relay's threads may take to end once they were told to: they wait for nothing.
  private static let stopTime = Duration.seconds(2)

  /// Returns when the relay has stopped. SIGUSR1 logs the counters and SIGHUP reloads; the first other signal drains,
  /// the second ends the process.
  mutating func run() -> Ending {
    var ending = Ending.asked
    var deadline: TimeLeft?
    while true {
      // Before all that is asked of the relay, because it makes the relay's signal quiet; and before the first wait,
      // because the relay's start has done so too.
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
          "the time for the shutdown is over: closing what is still open and discarding what is still queued")
        stop()
        return ending
      case .signal(SIGUSR1):
        logCounters()
      case .signal(SIGHUP) where deadline == nil:
        beginReading()
      case .signal(SIGHUP):
        log.warning("SIGHUP: everything stays as it was: the relay is ending")
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

  /// `.readable` also where time is left and nothing has come yet, where what was held back from the log is due, or
  /// where it is a reading's time that is over.
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
      log.error("SIGHUP: everything stays as it was: a file that an earlier SIGHUP asked for is still not read")
      return
    }
    do {
      try background.begin(reload)
      reading = .underWay(again: false)
      readingTime = TimeLeft(Self.longestReading)
    } catch {
      log.error("SIGHUP: everything stays as it was: \(error)")
    }
  }

  /// Takes what was read, where it has been; gives up what takes too long.
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
        SIGHUP: everything stays as it was: reading takes longer than \(Self.longestReading.setting); look whether a \
        file system hangs: \(files)
        """)
    }
  }

  /// All of it or nothing: where anything is wrong, what was in effect stays so.
  private mutating func adopt(_ read: BackgroundReload.Outcome) {
    let outcome: Reload.Outcome
    switch read {
    case .success(let read): outcome = read
    case .failure(let error):
      for problem in error.problems.prefix(Self.mostProblems) {
        log.error("SIGHUP: everything stays as it was: \(problem)")
      }
      let others = error.problems.count - Self.mostProblems
      if others > 0 {
        log.error("SIGHUP: everything stays as it was: \(others) more mistakes, which --check-config tells")
      }
      return
    }
    if outcome.settings.configuration.file == nil, outcome.settings.configuration.listFiles.isEmpty {
      log.warning("SIGHUP: there is neither a --config nor a list of networks in a file to read anew")
    }
    for warning in outcome.warnings { log.warning("\(warning)") }
    guard relay.reconfigure(outcome.settings.configuration.relay) else {
      log.error("SIGHUP: everything stays as it was: the last reload is not yet done")
      return
    }
    reload.adopt(outcome)
    // Before its level changes.
    for change in outcome.changes where !change.isLowered { log.info("SIGHUP: \(change)") }
    for change in outcome.changes where change.isLowered {
      log.warning("SIGHUP: \(change); this protects less than before")
    }
    for change in outcome.needRestart { log.warning("SIGHUP: \(change), after the next start") }
    if outcome.changes.isEmpty, outcome.needRestart.isEmpty { log.info("SIGHUP: no setting has changed") }
    log.logLevel = outcome.settings.configuration.logLevel
  }

  // MARK: Ending

  /// Why the relay wants to end without having been asked.
  private var endingOfItsOwn: Ending? { relay.isEndedByBackendLoss ? .backendLost : nil }

  /// Begins the orderly end, and returns the time that there is for it.
  private func drain() -> TimeLeft {
    relay.drain()
    return TimeLeft(relay.configuration.shutdownTimeout)
  }

  private mutating func stop() {
    relay.beginStop()
    var deadline: TimeLeft? = TimeLeft(Self.stopTime)
    while true {
      // Makes the relay's signal quiet first.
      logEvents()
      if relay.hasStopped { break }
      switch wait(&deadline, withReading: false) {
      case .readable, .signal(SIGUSR1), .signal(SIGHUP):
        break
      case .timeout:
        log.critical("the relay's threads do not end: leaving them, whatever is queued")
        // EX_SOFTWARE of sysexits.h.
        leave(with: 70)
      case .signal(let signal):
        end(by: signal)
      }
    }
    relay.stop()
    relay.takeLastEvents(log)
  }

  /// Ends the process for a signal. The code is what a shell reports of it.
  private func end(by signal: Int32) -> Never {
    log.warning("\(name(signal))\(signal == SIGQUIT ? "" : " again"): ending at once, whatever is queued")
    leave(with: 128 + signal)
  }

  /// Ends the process at once: no handlers, no waiting for threads.
  private func leave(with code: Int32) -> Never {
    relay.takeLastEvents(log)
    System.flushLog(milliseconds: Program.lastLines)
    _exit(code)
  }

  private func logEvents() {
    relay.takeEvents(log)
  }

  private func log(_ event: Event) {
    let (message, metadata) = event.logged
    log.log(level: event.level.logged, message, metadata: metadata)
  }

  /// What was counted since the start, where it is not nothing, in one line. By the names that the code has for it.
  private func logCounters() {
    var counted: Logger.Metadata = [:]
    for metric in Metric.allCases where relay[metric] > 0 { counted["\(metric)"] = "\(relay[metric])" }
    log.info("SIGUSR1: counted since the start", metadata: counted)
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
