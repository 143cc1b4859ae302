import ArgumentParser
import VoltlaneService
import VoltlaneSettings

/// `voltlane`: flags, then the configuration, then the relay.
@main
struct VoltlaneCommand: ParsableCommand {
  static func main() {
    occupyStandardStreams()
    Signals.decide()
    Crash.prepare("voltlane")
    do {
      var command = try parseAsRoot()
      try command.run()
    } catch {
      end(with: error)
    }
  }

  static let configuration = CommandConfiguration(
    commandName: "voltlane",
    abstract: "An edge relay: many clients outside, one connection to the backend inside.",
    usage: "voltlane [--listen ADDRESS]... [--backend ADDRESS] [options]",
    discussion: """
      Clients connect to --listen, and each gets an id. Their packets reach the backend over a single connection, the \
      firehose, each with its client's id in front, and come back the same way.

        voltlane --listen 0.0.0.0:42000 --backend 10.0.0.5:42001
        voltlane --backend echo                     try it without a backend

      An ADDRESS is host:port, [v6 address]:port or unix:/path. A SIZE is a number of bytes, or a number followed by \
      KiB, MiB, GiB, KB, MB or GB. A TIME is a number followed by ms, s, m or h, or by us if very short. A RATE is \
      a number for each second or minute, such as 20/s or 300/m, optionally with a burst: 20/s:40.

      SIGTERM and SIGINT shut the relay down in order; a second one ends it at once. SIGHUP reloads the file of \
      --config, SIGUSR1 writes all counters to the log, and SIGUSR2 lets clients go one by one before it shuts the \
      relay down.

      Every option that takes a value is also an environment variable (--stale-timeout: VOLTLANE_STALE_TIMEOUT) and a \
      key of the TOML file that --config names (stale-timeout = "5m"). Options win over variables, and variables over \
      the file.
      """,
    version: Version.current)

  @OptionGroup var flags: Flags

  @Flag(help: ArgumentHelp("Print every setting as a table of the documentation.", visibility: .hidden))
  var settingsTable = false

  @Flag(help: ArgumentHelp("Print every metric as a table of the documentation.", visibility: .hidden))
  var metricsTable = false

  @Flag(help: "Check options, variables and file, report what is wrong with them, and exit: with 0 if nothing is.")
  var checkConfig = false

  @Flag(help: "Print every setting with its value and origin, in the form of a file for --config, and exit.")
  var printConfig = false

  @Flag(help: "Check the machine as before a launch, say what to change, and exit: with 0 if the relay can run.")
  var preflight = false

  func run() throws {
    if settingsTable {
      try StandardOutput.write(Settings.table)
      return
    }
    if metricsTable {
      try StandardOutput.write(MetricsTable.text)
      return
    }
    let settings = try loaded()
    if checkConfig {
      let remarks = EarlierSetting.filesPassedOver(by: settings.configuration.file)
      for warning in remarks + settings.given.warnings { try StandardOutput.write("warning: \(warning)") }
      try StandardOutput.write("no mistakes found")
    } else if printConfig {
      try StandardOutput.write(settings.effective.description)
    } else if preflight {
      try look(Preflight(settings.configuration))
    } else {
      try Program.run(settings, flags: flags.given)
    }
  }

  /// The settings. Called once: a pipe among the files can be read once only.
  func loaded() throws -> LoadedSettings {
    do throws(ConfigurationError) {
      return try LoadedSettings(flags: flags.given)
    } catch  where error.isUsage {
      // Exit code 64 (EX_USAGE), with a pointer to the help.
      throw ValidationError(error.description)
    } catch {
      for problem in error.problems { System.writeToStandardError("Error: \(problem)\n") }
      // EX_CONFIG of sysexits.h.
      throw ExitCode(78)
    }
  }

  private func look(_ preflight: Preflight) throws {
    let findings = preflight.findings
    for finding in findings { try StandardOutput.write(finding.description) }
    if findings.contains(where: { $0.level == .fail }) { throw ExitCode.failure }
  }
}
