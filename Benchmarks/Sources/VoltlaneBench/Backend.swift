import ArgumentParser
import Load

struct Backend: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Runs only the echo backend, until it is stopped.",
    discussion: "For 'voltlane-bench echo --external-backend', or to try a client by hand.")

  @Option(help: ArgumentHelp("Where to listen for the relay.", valueName: "host:port|unix:/path"))
  var listen: Address

  @Option(help: ArgumentHelp("Congestion control of the sockets, such as cubic.", valueName: "name"))
  var congestionControl: String?

  func run() throws {
    try BackendThread(address: listen, congestionControl: congestionControl).serve()
  }
}
