import ArgumentParser
import Logging
import Relay
import VoltlaneCrypto
import VoltlaneService
import VoltlaneSettings

/// From a configuration to the end of the process.
enum Program {
  /// Runs until a signal asks it to end, or the relay ends by itself. Throws the exit code if that is not 0.
  static func run(_ settings: LoadedSettings, flags: [Given]) throws {
    let log = try log(settings.configuration)
    defer { System.flushLog(milliseconds: lastLines) }
    if let file = settings.configuration.file {
      log.info("read the settings in \(file)")
    }
    for remark in EarlierSetting.filesPassedOver(by: settings.configuration.file) { log.warning("\(remark)") }
    for warning in settings.given.warnings { log.warning("\(warning)") }
    let ending = try runRelay(settings.configuration, Reload(flags: flags, settings: settings), log)
    if ending.exitCode != .success { throw ending.exitCode }
  }

  /// How long the last lines of the log may take to be written, in milliseconds. If anybody reads the log, they have
  /// been by then.
  static let lastLines: Int32 = 500

  /// Begins the log.
  private static func log(_ configuration: ProgramConfiguration) throws -> Logger {
    do {
      // Before anything that starts a thread, which inherits it.
      if !configuration.relay.cpus.isEmpty { try System.run(on: configuration.relay.cpus) }
      try System.beginLog(configuration.logFormat)
    } catch {
      let form = LogForm(format: configuration.logFormat, hasPriorities: System.journalReadsLog)
      StandardErrorLog(level: .critical, form: form, write: System.writeToStandardError)
        .tell(.critical, cannotStart(error))
      throw ExitCode.failure
    }
    let form = LogForm(format: configuration.logFormat, hasPriorities: System.journalReadsLog)
    LoggingSystem.bootstrap { _ in StandardErrorLog(level: configuration.logLevel, form: form) }
    return Logger(label: "voltlane")
  }

  private static func cannotStart(_ error: any Error) -> String { "cannot start: \(error)" }

  private static func runRelay(
    _ configuration: ProgramConfiguration, _ reload: Reload, _ log: Logger
  ) throws -> ControlLoop.Ending {
    let manager = ServiceManager()
    do {
      // Slow steps come first: until signals are read, SIGTERM and SIGINT end the process without anybody's help.
      let key = try key(configuration.identity, log)
      let passed = PassedSockets()
      let names = configuration.listeners.compactMap(\.passedName)
      let listeners = try ListenerAddresses(configuration.relay.listeners, passed: passed.listeners(names))
      for name in passed.names(without: names) {
        log.warning("systemd passes a socket called '\(name)', and no --listen names it: nobody is accepted there")
      }
      // Before the first thread of the relay or of the echo backend, which inherits it.
      let signals = try Signals()
      let background = try BackgroundReload()
      let queue = try ControlQueue()

      let echo = configuration.embedsEcho ? try embeddedEcho(configuration.relay) : nil
      var settings = configuration.relay
      if let echo { settings.backend = echo.address }
      // Before the relay: if it cannot listen, no client has connected yet.
      let admin = try configuration.admin.endpoint.map { endpoint throws(AdminFailure) in
        try AdminServer(configuration.admin, at: endpoint) {
          tell($0, "--admin \(endpoint)", "the admin endpoint is", log)
        }
      }
      defer { admin?.stop() }
      // For the same reason; commands wait until there is a relay.
      let control = try configuration.control.map { path in
        try ControlSocket(path, queue) { tell($0, "--control unix:\(path)", "commands come over", log) }
      }
      defer { control?.close() }
      let relay = try start(settings, listeners, key: key, log)
      // Also without an endpoint: commands ask for the same.
      let desk = admin?.desk ?? AdminDesk()
      desk.begin(relay)
      desk.show(reload.settings.effective)
      log.info("backend is \(echo == nil ? "" : "the embedded echo at ")\(settings.backend)")

      var loop = ControlLoop(
        relay: relay, signals: signals, reload: reload, background: background, queue: queue, log: log)
      loop.desk = desk
      if let manager { loop.beginReports(manager) }
      let ending = loop.run()
      echo?.stop()
      loop.log.info("stopped")
      return ending
    } catch {
      log.critical("\(cannotStart(error))")
      manager?.tell(.status(cannotStart(error)))
      throw ExitCode.failure
    }
  }

  /// Logs where the operator can reach the relay, or why not yet.
  private static func tell(
    _ progress: PatientListener.Progress, _ setting: String, _ purpose: String, _ log: Logger
  ) {
    switch progress {
    case .listens(let endpoint): log.info("\(purpose) \(endpoint)")
    case .waits(let reason):
      log.warning("\(setting): \(reason), perhaps by a relay that drains: trying again every second")
    }
  }

  /// The backend of `--backend echo`, on a free port of the loopback.
  private static func embeddedEcho(_ settings: RelayConfiguration) throws -> BlockingEcho {
    try BlockingEcho(on: .tcp(host: "127.0.0.1", port: 0), maxPacketSize: settings.maxPacketSize)
  }

  /// The relay's key: from the identity file, or a fresh one.
  private static func key(_ file: String?, _ log: Logger) throws -> SecretKey {
    guard let file else { return try SecretKey.generate() }
    let identity = try Identity(file: file)
    log.info("\(identity.isNew ? "made a new key, and wrote it to" : "read the key in") \(file)")
    return identity.key
  }

  private static func start(
    _ settings: RelayConfiguration, _ listeners: ListenerAddresses, key: SecretKey, _ log: Logger
  ) throws -> Relay {
    let relay = try Relay(configuration: settings, listeners: listeners)
    log.info("voltlane \(Version.current) on Linux \(relay.kernelRelease)", metadata: facts(settings))
    log.info("\(told(relay.kernel))")
    if !key.isLocked {
      log.warning("the relay's key may be swapped out: the limit of locked memory (ulimit -l) is used up")
    }
    try relay.start(identity: key)
    // So that clients can recognise the relay, as with voltlane-connect --relay-key.
    log.info("the relay's public key is \(key.publicKey)")
    for warning in relay.listenerWarnings { log.warning("\(warning)") }
    for endpoint in relay.endpoints { log.info("listening on \(endpoint)") }
    // Whoever opened those that were passed may have opened them for both.
    for endpoint in relay.endpoints.dropFirst(listeners.passed.count) {
      guard case .tcp("::", let port) = endpoint else { continue }
      let v4 = Endpoint.tcp(host: "0.0.0.0", port: port)
      if !relay.endpoints.contains(v4) {
        log.info("\(endpoint) takes clients over IPv6 only; for IPv4 add --listen \(v4) besides")
      }
    }
    return relay
  }

  /// Which way to the kernel was taken, and why.
  private static func told(_ kernel: KernelFinding) -> String {
    switch (kernel.interface, kernel.refusal) {
    case (.uring, _): "packets go through io_uring"
    case (.epoll, nil): "packets go through epoll, as --io asks for"
    case (.epoll, let refusal?): "packets go through epoll, because \(refusal.reason); for io_uring, \(refusal.advice)"
    }
  }

  private static func facts(_ settings: RelayConfiguration) -> Logger.Metadata {
    [
      "shards": .number(settings.shards), "threads": "\(settings.threads)",
      "firehose-core": "\(settings.firehoseCore)", "handshake-workers": .number(settings.handshakeWorkers),
      "cpus": settings.cpus.isEmpty ? "any" : "\(CPUList(cpus: settings.cpus))",
      "max-clients": "\(Limit(settings.protection.maxClients))",
      "memory-budget": "\(ByteSize(bytes: settings.protection.memoryBudget))",
      "assembly-budget": "\(ByteSize(bytes: settings.assemblyBudget))",
      "missed-packets-total": "\(ByteSize(bytes: settings.missedPacketsTotal))",
    ]
  }
}
