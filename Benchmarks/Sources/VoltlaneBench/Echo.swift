import ArgumentParser
import EchoLoad

struct Echo: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Sends packets through the relay to an echo backend, and checks every one that comes back.",
    discussion: """
      Start the relay first, told to dial the address given as --backend-listen; this program is the backend and all \
      the clients. Each client keeps a window of packets in flight. Every byte of every echo is compared with what was \
      sent, and order, loss and duplicates are watched. With --relay-pid the relay's CPU time a round trip is read, \
      which is the figure to compare relays by: round trips a second depend on this program as well, and it says so \
      where it was the bottleneck.

      Use the same congestion control here and in the relay: the machine's default may pace even the loopback.

      Exits with 0 when every echo came back once, in order and unchanged; with 1 when not, or when nothing could be \
      measured; with 64 on a wrong flag.
      """)

  @Option(help: ArgumentHelp("Where the relay accepts clients.", valueName: "host:port|unix:/path"))
  var relay: Address

  @Option(
    help: ArgumentHelp(
      "Where the echo backend listens for the relay; 'none' where another process is the backend.",
      valueName: "host:port|unix:/path|none"))
  var backendListen: BackendChoice?

  @Flag(help: "Another process is the backend (such as 'voltlane-bench backend'): the same as --backend-listen none.")
  var externalBackend = false

  @Option(help: ArgumentHelp("Clients.", valueName: "n"))
  var clients = 1

  @Option(help: ArgumentHelp("Bytes of a packet, without its size prefix.", valueName: "bytes"))
  var size = 64

  @Option(help: ArgumentHelp("Packets that each client keeps in flight.", valueName: "packets"))
  var window = 1

  @Option(help: ArgumentHelp("How long to measure. (default: 5, unless --packets is given)", valueName: "s"))
  var seconds: Double?

  @Option(help: ArgumentHelp("Load before the measurement begins.", valueName: "s"))
  var warmup = 1.0

  @Option(help: ArgumentHelp("Measure this many round trips instead of a time.", valueName: "n"))
  var packets: UInt64?

  @Option(help: ArgumentHelp("The relay's process, to read its CPU time and memory.", valueName: "pid"))
  var relayPid: Int32?

  @Option(help: ArgumentHelp("Congestion control of this program's sockets, such as cubic.", valueName: "name"))
  var congestionControl: String?

  @Option(help: ArgumentHelp("Clients that may be connecting at a time.", valueName: "n"))
  var connectConcurrency = 64

  @Flag(
    help: """
      Give the backend a thread of its own. One thread for clients and backend costs least, and leaves the relay a CPU \
      where there are only two; from four on, this makes more load.
      """)
  var backendThread = false

  @Option(help: ArgumentHelp("How long the relay may take to dial in and to accept.", valueName: "s"))
  var startTimeout = 15.0

  @Option(help: ArgumentHelp("How long no echo may come before those under way count as lost.", valueName: "s"))
  var drainTimeout = 5.0

  @Flag(help: "Print one JSON object instead of text.")
  var json = false

  func validate() throws {
    func require(_ holds: Bool, _ message: String) throws {
      guard holds else { throw ValidationError(message) }
    }
    try require(
      (backendListen == nil) == externalBackend || backendListen == BackendChoice.none,
      "Say where the backend is: one of --backend-listen and --external-backend.")
    try require((1...1_000_000).contains(clients), "--clients must be from 1 to 1000000.")
    try require((0...16_777_216).contains(size), "--size must be from 0 to 16777216.")
    try require((1...1_000_000).contains(window), "--window must be from 1 to 1000000.")
    try require(seconds == nil || packets == nil, "Give one of --seconds and --packets, not both.")
    try require(seconds.map { $0 > 0 && $0 <= 86400 } ?? true, "--seconds must be above 0 and at most 86400.")
    try require(packets.map { $0 > 0 } ?? true, "--packets must be above 0.")
    try require(warmup >= 0 && warmup <= 3600, "--warmup must be from 0 to 3600.")
    try require(relayPid.map { $0 > 0 } ?? true, "--relay-pid must be a process id.")
    try require((1...10000).contains(connectConcurrency), "--connect-concurrency must be from 1 to 10000.")
    try require(startTimeout > 0 && startTimeout <= 3600, "--start-timeout must be above 0 and at most 3600.")
    try require(drainTimeout > 0 && drainTimeout <= 3600, "--drain-timeout must be above 0 and at most 3600.")
  }

  func run() throws {
    let plan = EchoPlan(
      relay: relay, backend: backendListen?.address, clients: clients, size: size, window: window,
      length: packets.map { .roundTrips($0) } ?? .seconds(seconds ?? 5), warmup: warmup, relayPID: relayPid,
      congestionControl: congestionControl, connectConcurrency: connectConcurrency, backendThread: backendThread,
      startTimeout: startTimeout, drainTimeout: drainTimeout)
    let report = try EchoRun.measure(plan)
    print(json ? try report.json() : report.text)
    if !report.isClean { throw ExitCode.failure }
  }
}
