import ArgumentParser
import Glibc
import Logging
import Relay
import VoltlaneService
import VoltlaneSettings

/// What the main thread does while the relay runs: it writes events to the log and, when a signal asks for it, logs the
/// counters, reloads the settings, lets clients go, or ends the relay.
struct ControlLoop {
  let relay: Relay
  let signals: Signals
  var reload: Reload
  let background: BackgroundReload
  let queue: ControlQueue
  var log: Logger
  /// What can be seen of the relay, and where the admin endpoint leaves its questions.
  var desk: AdminDesk?
  /// The state of the reload that SIGHUP has asked for.
  private var reading = Reading.none
  /// After this it is too late for the outcome; nil if nothing is in progress.
  private var readingTime: TimeLeft?
  /// Lets clients go before the relay ends; nil where nobody asked for that, and once it is over.
  var gradual: GradualDrain?
  /// The orderly end has begun.
  private(set) var isEnding = false
  /// What whoever runs the relay as a service hears of it; nil where nobody wants to.
  var service: ServiceReports?
  /// Whether the last reload changed nothing, because something was wrong with it.
  private(set) var lastReloadFailed = false
  /// What is to be asked of all shards.
  let lists = ListQueue()
  /// Whom an operator keeps out.
  var bans = Bans()
  let started = ContinuousClock.now

  private enum Reading {
    case none
    case underWay
    /// It hangs, and its outcome will not count.
    case overdue
  }

  /// What is to be read, the first of them now.
  private var jobs: [ReadingJob] = []

  /// How long reading the files may take: longer than the wait for one that is being written.
  private static let longestReading = Duration.seconds(15)
  /// How many mistakes are logged: a file that is not a settings file at all has one on each line.
  private static let mostProblems = 20

  init(
    relay: Relay, signals: Signals, reload: Reload, background: BackgroundReload, queue: ControlQueue, log: Logger
  ) {
    self.relay = relay
    self.signals = signals
    self.reload = reload
    self.background = background
    self.queue = queue
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

  /// Returns when the relay has stopped. SIGUSR1 logs the counters, SIGHUP reloads, and SIGUSR2 lets clients go and
  /// then drains; the first other signal drains, the second ends the process.
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
      endBans()
      reportToService()
      for work in queue.take() { work(&self) }
      lists.advance()
      if deadline == nil, letClientsGo() { deadline = drain() }
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
        beginReading(ReadingJob(who: "SIGHUP"))
      case .signal(SIGHUP):
        log.warning("SIGHUP: not reloaded: the relay is ending")
      case .signal(SIGUSR2) where deadline == nil:
        beginGradualDrain("SIGUSR2", over: reload.settings.configuration.drainTime)
      case .signal(SIGUSR2):
        log.info("SIGUSR2: the relay is shutting down already")
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
    let times = [
      deadline?.wait, relay.nextEvents, withReading ? readingTime?.wait : nil, gradual?.wait,
      isEnding ? nil : bans.wait(), lists.wait(), service?.wait(),
    ]
    let wake = signals.wait(
      or: relay.signal, withReading ? background.signal : -1, withReading ? queue.signal : -1,
      atMost: times.compactMap { $0 }.min())
    deadline?.look()
    readingTime?.look()
    return wake == .timeout && deadline?.isOver != true ? .readable : wake
  }

  // MARK: Reloading

  /// Reads files, after all that was asked for before.
  mutating func beginReading(_ job: ReadingJob) {
    switch reading {
    case .none:
      jobs = [job]
      beginReading()
    case .underWay:
      // Files that will be read anyway need not be read twice; whoever waits for an answer gets one each.
      if job.change == nil, job.answer == nil, jobs.dropFirst().contains(where: { $0.change == nil }) { return }
      jobs.append(job)
    case .overdue: fail(job, ["an earlier reload is still waiting for a file"])
    }
  }

  /// Begins with the first of the jobs.
  private mutating func beginReading() {
    guard let job = jobs.first else { return }
    do throws(StartError) {
      let reload = reload
      try background.begin { () throws(ConfigurationError) in
        if let change = job.change { return try reload.read(change.entry, change.texts) }
        return try reload.read()
      }
      reading = .underWay
      readingTime = TimeLeft(Self.longestReading)
      if job.change == nil { service?.beginReload() }
    } catch {
      let failed = jobs
      jobs = []
      for job in failed { fail(job, ["\(error)"]) }
    }
  }

  /// Takes what was read, if it has been; gives up what takes too long.
  private mutating func finishReading(isEnding: Bool) {
    if let outcome = background.take() {
      let before = reading
      reading = .none
      readingTime = nil
      guard case .underWay = before, !jobs.isEmpty else { return }
      let job = jobs.removeFirst()
      guard !isEnding else { return dropJobs([job] + jobs, "the relay is shutting down") }
      adopt(outcome, job)
      if job.change == nil { service?.endReload() }
      beginReading()
    } else if readingTime?.isOver == true {
      reading = .overdue
      readingTime = nil
      if jobs.first?.change == nil { service?.endReload() }
      let files = ([reload.settings.configuration.file].compactMap { $0 } + reload.settings.configuration.listFiles)
        .joined(separator: ", ")
      dropJobs(
        jobs,
        """
        reading takes longer than \(Self.longestReading.setting); look whether a file system hangs: \(files)
        """)
    }
  }

  private mutating func dropJobs(_ dropped: [ReadingJob], _ reason: String) {
    jobs = []
    for job in dropped { fail(job, [reason]) }
  }

  /// Nothing was changed, and why.
  private mutating func fail(_ job: ReadingJob, _ problems: [String]) {
    if job.change == nil { lastReloadFailed = true }
    for problem in problems.prefix(Self.mostProblems) { log.error("\(job.who): not \(job.done): \(problem)") }
    let others = problems.count - Self.mostProblems
    if others > 0 {
      log.error("\(job.who): not \(job.done): \(others) more mistakes, which --check-config lists")
    }
    job.answer?(.failure(ControlError(problems.joined(separator: "\n"))))
  }

  /// All or nothing: if anything is wrong, everything stays in effect as it was.
  private mutating func adopt(_ read: BackgroundReload.Outcome, _ job: ReadingJob) {
    let outcome: Reload.Outcome
    switch read {
    case .success(let read): outcome = read
    case .failure(let error): return fail(job, error.problems)
    }
    let who = job.who
    if job.change == nil, outcome.settings.configuration.file == nil, outcome.settings.configuration.listFiles.isEmpty {
      log.warning("\(who): there is no --config file and no list of networks in a file to reload")
    }
    for warning in outcome.warnings { log.warning("\(warning)") }
    let before = reload
    reload.adopt(outcome)
    guard applySettings() else {
      reload = before
      return fail(job, ["the last reload is still in progress"])
    }
    // Before its level changes.
    for change in outcome.changes where !change.isLowered { log.info("\(who): \(change)") }
    for change in outcome.changes where change.isLowered {
      log.warning("\(who): \(change); this protects less than before")
    }
    for change in outcome.needRestart { log.warning("\(who): \(change), from the next start on") }
    if outcome.changes.isEmpty, outcome.needRestart.isEmpty { log.info("\(who): no setting has changed") }
    log.logLevel = outcome.settings.configuration.logLevel
    if job.change == nil { lastReloadFailed = false }
    job.answer?(.success(job.report(outcome, remark: job.change.flatMap { reload.remark(on: $0.entry) })))
  }

  /// Puts the settings, and what an operator has decided besides, into effect. False if the last change is in progress.
  func applySettings() -> Bool {
    var configuration = reload.settings.configuration.relay
    configuration.protection.denied += bans.networks
    guard relay.reconfigure(configuration) else { return false }
    desk?.take(relay.configuration)
    desk?.show(reload.settings.effective)
    return true
  }

  private mutating func endBans() {
    guard !isEnding, bans.wait() == .zero else { return }
    let before = bans
    let over = bans.removeOver()
    guard applySettings() else {
      bans = before
      return
    }
    for network in over { log.info("control: \(network) is no longer banned: its time is over") }
  }

  // MARK: Ending

  /// Why the relay wants to end without having been asked to.
  private var endingOfItsOwn: Ending? { relay.isEndedByBackendLoss ? .backendLost : nil }

  /// Begins the orderly end, and returns the time allowed for it.
  private mutating func drain() -> TimeLeft {
    isEnding = true
    gradual?.stop()
    gradual = nil
    relay.drain()
    service?.stop(status: "shutting down: handing over what is queued")
    return TimeLeft(relay.configuration.shutdownTimeout)
  }

  /// Stops accepting, and begins to let clients go.
  mutating func beginGradualDrain(_ who: String, over time: Duration) {
    guard gradual == nil else {
      log.info("\(who): draining already", metadata: ["sessions": .number(sessions)])
      return
    }
    relay.stopAccepting()
    gradual = GradualDrain(relay, over: time)
    log.info(
      "\(who): draining over \(time.setting): accepting nobody, and letting clients go one by one",
      metadata: ["sessions": .number(sessions)])
  }

  /// Lets go of the clients that are due. True once the orderly end is due.
  private func letClientsGo() -> Bool {
    guard let gradual else { return false }
    gradual.advance()
    guard gradual.isDone else { return false }
    log.info(
      "all clients were let go: shutting down, at most \(relay.configuration.shutdownTimeout.setting)",
      metadata: ["sessions": .number(sessions)])
    return true
  }

  /// How many there are, by what was counted.
  var sessions: UInt64 { relay[.sessionsStarted] &- relay[.sessionsEnded] }

  private mutating func stop() {
    relay.beginStop()
    // Threads that have ended answer nobody.
    service = nil
    var deadline: TimeLeft? = TimeLeft(Self.stopTime)
    while true {
      // Resets the relay's signal first.
      logEvents()
      if relay.hasStopped { break }
      switch wait(&deadline, withReading: false) {
      case .readable, .signal(SIGUSR1), .signal(SIGUSR2), .signal(SIGHUP):
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
    for question in desk?.mailbox.take() ?? [] {
      lists.add { [relay] finished in question(relay, finished) }
    }
    lists.advance()
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
    var threads: Logger.Metadata = ["io": "\(relay.kernel.interface)"]
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
