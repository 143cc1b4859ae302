import ArgumentParser
import Load

/// The flags of every mode.
struct CommonFlags: ParsableArguments {
  @Option(help: ArgumentHelp("Where the relay accepts clients.", valueName: "host:port|unix:/path"))
  var relay: Address

  @Option(help: ArgumentHelp("The relay's process, to read its CPU time and memory.", valueName: "pid"))
  var relayPid: Int32?

  @Option(help: ArgumentHelp("Congestion control of this program's sockets, such as cubic.", valueName: "name"))
  var congestionControl: String?

  @Option(help: ArgumentHelp("Clients that may be connecting at a time.", valueName: "n"))
  var connectConcurrency = 64

  @Option(help: ArgumentHelp("How long the relay may take to dial in and to accept.", valueName: "s"))
  var startTimeout = 15.0

  @Flag(help: "Print one JSON object instead of text.")
  var json = false

  func validate() throws {
    try require(relayPid.map { $0 > 0 } ?? true, "--relay-pid must be a process id.")
    try require((1...10000).contains(connectConcurrency), "--connect-concurrency must be from 1 to 10000.")
    try require(startTimeout > 0 && startTimeout <= 3600, "--start-timeout must be above 0 and at most 3600.")
  }
}

/// The flags of the modes that measure for a time.
struct LoadFlags: ParsableArguments {
  @Option(help: ArgumentHelp("Clients.", valueName: "n"))
  var clients = 1

  @Option(help: ArgumentHelp("How long to measure. (default: 5, unless --packets is given)", valueName: "s"))
  var seconds: Double?

  @Option(help: ArgumentHelp("Load before the measurement begins.", valueName: "s"))
  var warmup = 1.0

  @Option(help: ArgumentHelp("How long no packet may come before those under way count as lost.", valueName: "s"))
  var drainTimeout = 5.0

  @Flag(inversion: .prefixedNo, help: "A line a second on standard error. (default: where that is a terminal)")
  var progress: Bool?

  func validate() throws {
    try require((1...1_000_000).contains(clients), "--clients must be from 1 to 1000000.")
    try require(seconds.map { $0 > 0 && $0 <= 86400 } ?? true, "--seconds must be above 0 and at most 86400.")
    try require(warmup >= 0 && warmup <= 3600, "--warmup must be from 0 to 3600.")
    try require(drainTimeout > 0 && drainTimeout <= 3600, "--drain-timeout must be above 0 and at most 3600.")
  }
}

/// The flags of the modes that move packets.
struct PacketFlags: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "Bytes of a packet, without its size prefix; or several sizes by weight, such as 64:70,1024:25,16384:5.",
      valueName: "bytes"))
  var size = PacketSizes(64)

  @Option(
    help: ArgumentHelp("Packets that each client keeps in flight. (default: 1, unless --rate is given)", valueName: "n")
  )
  var window: Int?

  @Option(
    help: ArgumentHelp(
      """
      Packets a second over all clients, sent when they are due, whatever has come of those before. Latency counts \
      from that moment.
      """, valueName: "n"))
  var rate: Double?

  @Option(help: ArgumentHelp("Measure this many packets instead of a time.", valueName: "n"))
  var packets: UInt64?

  @Flag(
    help: """
      Count the relay's system calls as well, for a third of a second after the measurement. Needs root, or the right \
      to read its events.
      """)
  var countSystemCalls = false

  @Flag(
    help: """
      Sample how much of its CPU time the relay is in user space, for a third of a second after the measurement. Needs \
      root, or the right to read its events.
      """)
  var sampleUserShare = false

  func validate() throws {
    try require(window.map { (1...1_000_000).contains($0) } ?? true, "--window must be from 1 to 1000000.")
    // Rarer than once in a thousand seconds is a slip, and far below no clock can hold when the next is due.
    try require(rate.map { $0 >= 0.001 && $0 <= 1e9 } ?? true, "--rate must be from 0.001 to 1000000000.")
    try require(window == nil || rate == nil, "Give one of --window and --rate, not both.")
    try require(
      packets.map { (1...1_000_000_000_000).contains($0) } ?? true, "--packets must be from 1 to 1000000000000.")
  }
}

/// The flags of every mode that moves packets for a time, or a number of them.
struct TrafficFlags: ParsableArguments {
  @OptionGroup var common: CommonFlags
  @OptionGroup var load: LoadFlags
  @OptionGroup var packets: PacketFlags

  func validate() throws {
    try require(!packets.countSystemCalls || common.relayPid != nil, "--count-system-calls needs --relay-pid.")
    try require(!packets.sampleUserShare || common.relayPid != nil, "--sample-user-share needs --relay-pid.")
    try require(load.seconds == nil || packets.packets == nil, "Give one of --seconds and --packets, not both.")
  }

  func plan(_ mode: LoadPlan.Mode, backend: Address?) -> LoadPlan {
    var plan = LoadPlan(mode, common, load, backend: backend)
    plan.sizes = packets.size
    plan.pace = packets.rate.map { .rate($0) } ?? .window(packets.window ?? 1)
    if let count = packets.packets { plan.length = .packets(count) }
    plan.countsSystemCalls = packets.countSystemCalls
    plan.samplesUserShare = packets.sampleUserShare
    return plan
  }
}

func require(_ holds: Bool, _ message: String) throws {
  guard holds else { throw ValidationError(message) }
}

extension LoadPlan {
  init(_ mode: Mode, _ common: CommonFlags, _ load: LoadFlags, backend: Address?) {
    self.init(mode: mode, relay: common.relay, backend: backend)
    clients = load.clients
    length = .seconds(load.seconds ?? 5)
    warmup = load.warmup
    relayPID = common.relayPid
    congestionControl = common.congestionControl
    connectConcurrency = common.connectConcurrency
    showsProgress = load.progress ?? LoadPlan.isWatched
    startTimeout = common.startTimeout
    drainTimeout = load.drainTimeout
  }

  /// Measures, prints, and ends with 1 where anything was wrong.
  func runAndPrint(json: Bool) throws {
    let report = try LoadRun.measure(self)
    print(json ? try report.json() : report.text)
    if !report.isClean { throw ExitCode.failure }
  }
}
