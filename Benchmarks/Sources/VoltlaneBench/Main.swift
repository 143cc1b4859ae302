import ArgumentParser
import EchoLoad

@main
struct VoltlaneBench: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "voltlane-bench",
    abstract: "Measures a relay of the Voltlane protocol, and checks it while measuring.",
    subcommands: [Echo.self, Backend.self], defaultSubcommand: nil)
}
