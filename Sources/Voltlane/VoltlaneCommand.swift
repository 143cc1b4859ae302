import ArgumentParser
import VoltlaneSettings

/// `voltlane`: flags, then the configuration, then the relay.
@main
struct VoltlaneCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "voltlane",
    abstract: "A relay at the edge: many clients outside, one connection to the backend inside.",
    usage: "voltlane [--listen ADDRESS]... [--backend ADDRESS] [options]",
    discussion: """
      Clients connect to --listen and get an id each. Their packets reach the backend over a single connection, the \
      firehose, each with the id before it, and come back the same way.

        voltlane --listen 0.0.0.0:42000 --backend 10.0.0.5:42001
        voltlane --backend echo                     try it without a backend

      An ADDRESS is host:port, [v6 address]:port or unix:/path. A SIZE is a number of bytes or has one of KiB, MiB, \
      GiB, KB, MB, GB after it. A TIME has ms, s, m or h after it. SIGTERM and SIGINT end the relay in an orderly way, \
      a second one at once.
      """,
    version: Version.current)

  @OptionGroup var flags: Flags

  @Flag(help: ArgumentHelp("Print every setting as a table of the documentation.", visibility: .hidden))
  var settingsTable = false

  func validate() throws {
    do {
      _ = try ProgramConfiguration(flags, on: .current())
    } catch {
      // Exit code 64 (EX_USAGE), with a pointer to the help.
      throw ValidationError(error.description)
    }
  }

  func run() throws {
    if settingsTable {
      print(Settings.table)
      return
    }
    try Program.run(ProgramConfiguration(flags, on: .current()))
  }
}
