import ArgumentParser
import Load

struct Idle: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Connects a crowd that says nothing: what does the relay hold for each, and what does it do meanwhile?",
    discussion: "At the end each client exchanges one packet with the echo backend, which shows that all were there.")

  @OptionGroup var common: CommonFlags

  @Option(help: ArgumentHelp("Where the echo backend listens for the relay.", valueName: "host:port|unix:/path"))
  var backendListen: Address

  @OptionGroup var load: LoadFlags

  func run() throws {
    try LoadPlan(.idle, common, load, backend: backendListen).runAndPrint(json: common.json)
  }
}
