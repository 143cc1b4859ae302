import ArgumentParser
import Load
import VoltlaneWire

/// A mode whose packets go one way: this program must be the backend, since it is there that packets are checked, or
/// made.
protocol OneWay: ParsableCommand {
  static var mode: LoadPlan.Mode { get }
  var flags: OneWayFlags { get }
}

struct OneWayFlags: ParsableArguments {
  @Option(help: ArgumentHelp("Where the backend listens for the relay.", valueName: "host:port|unix:/path"))
  var backendListen: Address

  @OptionGroup var traffic: TrafficFlags
}

extension OneWay {
  var plan: LoadPlan { flags.traffic.plan(Self.mode, backend: flags.backendListen) }

  func run() throws { try plan.runAndPrint(json: flags.traffic.common.json) }
}

struct Ingest: OneWay {
  static let mode = LoadPlan.Mode.ingest
  static let configuration = CommandConfiguration(
    abstract: "Sends packets from the clients to the backend, which counts and checks them.",
    discussion: "In flight is what has not come to the backend. Latency is the way there.")

  @OptionGroup var flags: OneWayFlags
}

struct Egress: OneWay {
  static let mode = LoadPlan.Mode.egress
  static let configuration = CommandConfiguration(
    abstract: "Sends packets from the backend, to each client its own, which are checked there.",
    discussion: "In flight is what has not come to its client. Latency is the way there.")

  @OptionGroup var flags: OneWayFlags
}

struct OneToAll: OneWay {
  static let mode = LoadPlan.Mode.oneToAll
  static let configuration = CommandConfiguration(
    commandName: "one-to-all",
    abstract: "Sends packets from the backend, each to all clients.",
    discussion: """
      The window, or the rate, counts packets to all; what is reported counts one for each client. A window of 1: the \
      next goes out when the last client has the one before.
      """)

  @Flag(help: "Each goes to the relay once, as a multicast, and not once for each client.")
  var multicast = false

  @OptionGroup var flags: OneWayFlags

  func validate() throws {
    let most = Multicast.maxIDs
    try require(!multicast || flags.traffic.load.clients <= most, "--multicast: --clients must be at most \(most).")
  }

  func run() throws {
    var plan = plan
    plan.isMulticast = multicast
    try plan.runAndPrint(json: flags.traffic.common.json)
  }
}
