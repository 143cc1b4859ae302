import ArgumentParser
import Dispatch
import VoltlaneBackend
import VoltlaneNIO
import VoltlaneService
import VoltlaneSettings

@main
struct VoltlaneEcho: ParsableCommand {
  static func main() {
    occupyStandardStreams()
    Signals.decide()
    Crash.prepare("voltlane-echo")
    do {
      var command = try parseAsRoot()
      try command.run()
    } catch {
      end(with: error)
    }
  }

  static let configuration = CommandConfiguration(
    commandName: "voltlane-echo",
    abstract: "A backend for a Voltlane relay that sends every packet back to the client it came from.",
    usage: "voltlane-echo [--listen ADDRESS] [--max-packet-size SIZE]",
    discussion: """
      It accepts any number of connections from the relay. Once it listens it says so on stderr, with the actual port \
      if 0 was asked for. SIGTERM, SIGINT, SIGQUIT and SIGHUP end it: it closes its connections, and removes the file \
      of a unix socket.

      An ADDRESS is host:port, [v6 address]:port or unix:/path. A SIZE is a number of bytes, or a number followed by \
      KiB, MiB, GiB, KB, MB or GB.

      Exit codes:
        0   ended by SIGTERM, SIGINT, SIGQUIT or SIGHUP
        64  wrong usage
        69  it cannot listen on the address
        71  the system refuses something else
        74  --help or --version cannot be written to stdout
      """,
    version: Version.current)

  @Option(Settings.listen) var listen: [Given] = []
  @Option(Settings.maxPacketSize) var maxPacketSize: [Given] = []

  func validate() throws {
    do {
      _ = try configuration()
    } catch {
      // Exit code 64 (EX_USAGE), with a pointer to the help.
      throw ValidationError(error.description)
    }
  }

  func run() throws {
    let configuration = try configuration()
    do {
      // Before anything that starts a thread, which inherits them.
      let signals = try Signals()
      let echo = try BlockingEcho(on: configuration.listen, maxPacketSize: configuration.maxPacketSize)
      // Whoever reads it may take as long as they like; signals are handled all the same.
      DispatchQueue.global().async { StandardStreams.tell("voltlane-echo: listening on \(echo.address)") }
      signals.wait()
      echo.stop()
    } catch {
      StandardStreams.tell("voltlane-echo: \(error)")
      throw ExitCode(error is BackendError ? 69 : 71)
    }
  }

  private func configuration() throws(SettingError) -> (listen: Endpoint, maxPacketSize: Int) {
    (try Settings.listen.value(of: listen), try Settings.maxPacketSize.value(of: maxPacketSize).bytes)
  }
}
