import ArgumentParser
import Load

/// What both storms have in common.
struct StormFlags: ParsableArguments {
  @OptionGroup var common: CommonFlags

  @Option(
    help: ArgumentHelp(
      "Where the backend listens for the relay; 'none' where another process is the backend.",
      valueName: "host:port|unix:/path|none"))
  var backendListen: BackendChoice

  @Option(help: ArgumentHelp("Clients, who share one key.", valueName: "n"))
  var clients = 10_000

  func validate() throws {
    try require((1...1_000_000).contains(clients), "--clients must be from 1 to 1000000.")
  }

  func plan(_ mode: StormPlan.Mode) -> StormPlan {
    var plan = StormPlan(mode: mode, relay: common.relay, backend: backendListen.address)
    plan.clients = clients
    plan.concurrency = common.connectConcurrency
    plan.relayPID = common.relayPid
    plan.congestionControl = common.congestionControl
    plan.startTimeout = common.startTimeout
    return plan
  }

  func measure(_ plan: StormPlan) throws {
    let report = try StormRun.measure(plan)
    print(common.json ? try report.json() : report.text)
    if !report.isClean { throw ExitCode.failure }
  }
}

struct ConnectStorm: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "connect-storm",
    abstract: "Connects new clients as fast as the relay takes them; each leaves when it has its id.")

  @OptionGroup var flags: StormFlags

  func run() throws { try flags.measure(flags.plan(.connect)) }
}

struct ReconnectStorm: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "reconnect-storm",
    abstract: "Lets clients come back as fast as the relay takes them.",
    discussion: """
      All clients connect and leave; then each proves who it is and leaves again, --rounds times. The first return \
      costs the relay a shared secret (ECDH) for each session; later ones find it computed.
      """)

  @OptionGroup var flags: StormFlags

  @Option(help: ArgumentHelp("How often each client comes back.", valueName: "n"))
  var rounds = 2

  func validate() throws {
    try require((1...1000).contains(rounds), "--rounds must be from 1 to 1000.")
  }

  func run() throws {
    var plan = flags.plan(.reconnect)
    plan.rounds = rounds
    try flags.measure(plan)
  }
}
