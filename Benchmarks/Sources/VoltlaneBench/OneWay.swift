import ArgumentParser
import Load

/// What the modes have in common whose packets go one way: this program must be the backend, since it is there that
/// packets are checked, or made.
struct OneWayFlags: ParsableArguments {
  @OptionGroup var common: CommonFlags

  @Option(help: ArgumentHelp("Where the backend listens for the relay.", valueName: "host:port|unix:/path"))
  var backendListen: Address

  @OptionGroup var load: LoadFlags
  @OptionGroup var packets: PacketFlags

  func validate() throws {
    try require(
      load.seconds == nil || packets.packets == nil, "Give one of --seconds and --packets, not both.")
  }

  func measure(_ mode: LoadPlan.Mode) throws {
    var plan = LoadPlan(mode, common, load, backend: backendListen)
    plan.apply(packets)
    try plan.runAndPrint(json: common.json)
  }
}

struct Ingest: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Sends packets from the clients to the backend, which counts and checks them.",
    discussion: "In flight is what has not come to the backend. Latency is the way there.")

  @OptionGroup var flags: OneWayFlags

  func run() throws { try flags.measure(.ingest) }
}

struct Egress: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Sends packets from the backend, to each client its own, which are checked there.",
    discussion: "In flight is what has not come to its client. Latency is the way there.")

  @OptionGroup var flags: OneWayFlags

  func run() throws { try flags.measure(.egress) }
}

struct OneToAll: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "one-to-all",
    abstract: "Sends packets from the backend, each to all clients.",
    discussion: """
      The window, or the rate, counts packets to all; what is reported counts one for each client. A window of 1: the \
      next goes out when the last client has the one before.
      """)

  @OptionGroup var flags: OneWayFlags

  func run() throws { try flags.measure(.oneToAll) }
}
