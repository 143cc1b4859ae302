import ArgumentParser
import VoltlaneSettings
import VoltlaneText

/// `voltlane-ctl`: commands to a running relay.
@main
struct Control: ParsableCommand {
  static func main() {
    occupyStandardStreams()
    Crash.letWritesFail()
    Crash.prepare("voltlane-ctl")
    do {
      var command = try parseAsRoot()
      try command.run()
    } catch let failure as ControlFailure {
      StandardError.write("voltlane-ctl: \(failure)")
      exit(withError: ExitCode(failure.exitCode))
    } catch {
      end(with: error)
    }
  }

  static let configuration = CommandConfiguration(
    commandName: "voltlane-ctl",
    abstract: "Looks into a running relay, and tells it what to do.",
    discussion: """
      The relay listens for commands where its --control says, for its own user and root:

        voltlane --backend echo --control unix:/run/voltlane/control.sock
        voltlane-ctl status

      With --json a command prints the relay's answer, one JSON object, instead of a text for people. The exit code is \
      0 if the relay did what was asked, 1 if it refused (standard error says why), 64 for a wrong option, and 69 if \
      there is no relay to ask.

      --generate-completion-script bash (zsh, fish) prints a script that completes commands and options.
      """,
    version: Version.current,
    subcommands: [
      Status.self, Clients.self, Client.self, Kick.self, Ban.self, Unban.self, Bans.self, Set.self, Settings.self,
      LogLevel.self, Drain.self, Undrain.self, Reload.self, Metrics.self, RelayVersion.self, Top.self,
    ])
}

/// What every command takes.
struct Common: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "The relay's control socket, unix:/path. (default: $VOLTLANE_CONTROL, or \(Common.standard))",
      valueName: "address"))
  var control: String?

  @Flag(help: "Print the answer as JSON.")
  var json = false

  static let standard = "unix:/run/voltlane/control.sock"

  func connect(patience: Int32 = ControlConnection.patience) throws -> ControlConnection {
    let text = control ?? Environment["VOLTLANE_CONTROL"] ?? Self.standard
    let endpoint: Endpoint
    do throws(EndpointError) {
      endpoint = try Endpoint(text)
    } catch {
      throw ValidationError("--control: '\(text)' is \(error)")
    }
    return try ControlConnection(endpoint, patience: patience)
  }
}

/// A command that asks one thing and shows the answer.
protocol ControlCommand: ParsableCommand {
  var common: Common { get }
  func request() throws -> JSON
  /// The answer for people.
  func show(_ answer: JSON) -> String
}

extension ControlCommand {
  func run() throws { try carryOut(request()) }

  func carryOut(_ request: JSON) throws {
    let answer = try common.connect().ask(request)
    try StandardOutput.write(common.json ? "\(answer)" : show(answer))
  }
}
