import ArgumentParser
import Dispatch
import Glibc
import Logging
import Relay

/// From a configuration to the end of the process.
enum Program {
  /// Runs until a signal asks for the end. Throws the exit code where the relay cannot start.
  static func run(_ configuration: ProgramConfiguration) throws {
    LoggingSystem.bootstrap { _ in StandardErrorLog(level: configuration.logLevel) }
    let log = Logger(label: "voltlane")
    do {
      // Before anything that starts a thread.
      let signals = try Signals()
      let (relay, echo) = try start(configuration, log)
      wait(for: relay, signals, log)
      echo?.stop()
      log.info("stopped")
    } catch {
      log.critical("cannot start: \(error)")
      throw ExitCode.failure
    }
  }

  private static func start(_ configuration: ProgramConfiguration, _ log: Logger) throws -> (Relay, EmbeddedBackend?) {
    var settings = configuration.relay
    let echo = configuration.embedsEcho ? try EmbeddedBackend(maxPacketSize: settings.maxPacketSize) : nil
    if let echo { settings.backend = try Endpoint(echo.address) }
    log.info("voltlane \(Version.current)", metadata: facts(settings))
    // SEAM: the relay's events reach `log` here once it has them.
    let relay = try Relay(configuration: settings)
    try relay.start()
    for listener in settings.listeners { log.info("listening on \(listener)") }
    log.info("backend is \(echo == nil ? "" : "the embedded echo at ")\(settings.backend)")
    return (relay, echo)
  }

  /// The first signal drains, the second ends the process.
  private static func wait(for relay: Relay, _ signals: Signals, _ log: Logger) {
    let stopped = signals.event
    DispatchQueue(label: "voltlane.stopped").async {
      relay.waitUntilStopped()
      stopped.post()
    }
    guard case .signal(let first) = signals.wait() else { return }
    log.info("\(name(first)): draining, at most \(relay.configuration.shutdownTimeout.setting)")
    relay.drain()
    guard case .signal(let second) = signals.wait() else { return }
    log.warning("\(name(second)) again: giving up what is queued")
    // At once: no handlers, no waiting for threads. The code is what a shell reports of a signal.
    _exit(128 + second)
  }

  private static func name(_ signal: Int32) -> String {
    switch signal {
    case SIGTERM: "SIGTERM"
    case SIGINT: "SIGINT"
    default: "signal \(signal)"
    }
  }

  private static func facts(_ settings: RelayConfiguration) -> Logger.Metadata {
    [
      "shards": "\(settings.shards)", "firehose-core": "\(settings.firehoseCore)",
      "handshake-workers": "\(settings.handshakeWorkers)",
      "cpus": settings.cpus.isEmpty ? "any" : "\(CPUList(cpus: settings.cpus))",
      "assembly-budget": "\(ByteSize(bytes: settings.assemblyBudget))",
    ]
  }
}
