import ArgumentParser
import Logging
import Relay
import VoltlaneCrypto

/// From a configuration to the end of the process.
enum Program {
  /// Runs until a signal asks for the end. Throws the exit code where the relay cannot start.
  static func run(_ configuration: ProgramConfiguration) throws {
    LoggingSystem.bootstrap { _ in StandardErrorLog(level: configuration.logLevel) }
    let log = Logger(label: "voltlane")
    do {
      // Both before anything that starts a thread, which inherits them.
      let signals = try Signals()
      if !configuration.relay.cpus.isEmpty { try System.run(on: configuration.relay.cpus) }

      let echo = configuration.embedsEcho ? try EmbeddedBackend(maxPacketSize: configuration.relay.maxPacketSize) : nil
      var settings = configuration.relay
      if let echo { settings.backend = try Endpoint(echo.address) }
      let relay = try start(settings, log)
      log.info("backend is \(echo == nil ? "" : "the embedded echo at ")\(settings.backend)")

      ControlLoop(relay: relay, signals: signals, log: log).run()
      echo?.stop()
      log.info("stopped")
    } catch {
      log.critical("cannot start: \(error)")
      throw ExitCode.failure
    }
  }

  private static func start(_ settings: RelayConfiguration, _ log: Logger) throws -> Relay {
    let relay = try Relay(configuration: settings)
    log.info("voltlane \(Version.current) on Linux \(relay.kernelRelease)", metadata: facts(settings))
    let identity = try SecretKey.generate()
    if !identity.isLocked {
      log.warning("the relay's key may be swapped out: the limit of locked memory (ulimit -l) is used up")
    }
    try relay.start(identity: identity)
    for endpoint in relay.endpoints { log.info("listening on \(endpoint)") }
    return relay
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
