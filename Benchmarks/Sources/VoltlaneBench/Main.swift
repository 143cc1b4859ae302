import ArgumentParser

@main
struct VoltlaneBench: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "voltlane-bench",
    abstract: "Measures a relay of the Voltlane protocol, and checks it while measuring.",
    subcommands: [
      Echo.self, Ingest.self, Egress.self, OneToAll.self, Idle.self, ConnectStorm.self, ReconnectStorm.self,
      Backend.self,
    ], defaultSubcommand: nil)
}
