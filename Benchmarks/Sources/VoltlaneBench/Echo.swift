import ArgumentParser
import Load

struct Echo: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Sends packets through the relay to an echo backend, and checks every one that comes back.",
    discussion: """
      Start the relay first, told to dial the address given as --backend-listen; this program is the backend and all \
      the clients. Every byte of every echo is compared with what was sent, and order, loss and duplicates are \
      watched. With --relay-pid the relay's CPU time a round trip is read, which is the figure to compare relays by: \
      round trips a second depend on this program as well, and it says so where it was the bottleneck.

      Use the same congestion control here and in the relay: the machine's default may pace even the loopback.

      Exits with 0 when every echo came back once, in order and unchanged; with 1 when not, or when nothing could be \
      measured; with 64 on a wrong flag.
      """)

  @Option(
    help: ArgumentHelp(
      "Where the echo backend listens for the relay; 'none' where another process is the backend.",
      valueName: "host:port|unix:/path|none"))
  var backendListen: BackendChoice?

  @Flag(help: "Another process is the backend (such as 'voltlane-bench backend'): the same as --backend-listen none.")
  var externalBackend = false

  @OptionGroup var traffic: TrafficFlags

  @Option(
    help: ArgumentHelp(
      """
      Of the clients, how many do not read while it is measured, but go on sending: what do the others notice? At the \
      end they read, and must find everything. (Keep rate and time low enough for the relay to hold that.)
      """, valueName: "n"))
  var stalled = 0

  @Flag(
    help: """
      Give the backend a thread of its own. One thread for clients and backend costs least, and leaves the relay a CPU \
      where there are only two; from four on, this makes more load.
      """)
  var backendThread = false

  @Flag(
    help: """
      The relay is a plain TCP proxy: clients shake no hands, and the backend has a connection for each of them.
      """)
  var plain = false

  func validate() throws {
    try require(
      (backendListen == nil) == externalBackend || backendListen == BackendChoice.none,
      "Say where the backend is: one of --backend-listen and --external-backend.")
    try require((0..<traffic.load.clients).contains(stalled), "--stalled must be from 0 to below --clients.")
  }

  func run() throws {
    var plan = traffic.plan(.echo, backend: backendListen?.address)
    plan.stalled = stalled
    plan.backendThread = backendThread
    plan.isPlain = plain
    try plan.runAndPrint(json: traffic.common.json)
  }
}
