import ArgumentParser
import VoltlaneBackend
import VoltlaneNIO
import VoltlaneText
import VoltlaneWire

@main
struct VoltlaneEcho: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "voltlane-echo",
    abstract: "A backend for a Voltlane relay that sends every packet back to the client it came from.",
    discussion: """
      It accepts the relay's connections, any number of them, until a signal stops it. Once it listens it says so on \
      stderr, with the port that it got where 0 was asked for.

      Exit codes:
        64  wrong usage
        69  the address cannot be listened on
      """)

  @Option(
    help: ArgumentHelp(
      "Where to listen: host:port, [v6 address]:port or unix:/path. Port 0 takes a free port.",
      valueName: "address"),
    transform: { try Endpoint($0) })
  var listen = Endpoint.tcp(host: "127.0.0.1", port: 42001)

  @Option(help: ArgumentHelp("The relay's max-packet-size. A larger packet ends its connection.", valueName: "bytes"))
  var maxPacketSize = Wire.defaultMaxPacketSize

  func validate() throws {
    guard Wire.maxPacketSizes.contains(maxPacketSize) else {
      throw ValidationError("--max-packet-size is at most \(Wire.maxPacketSizes.upperBound) bytes.")
    }
  }

  func run() async throws {
    let echo: EchoBackend
    do {
      echo = try await EchoBackend.listen(on: listen, maxPacketSize: maxPacketSize)
    } catch {
      StandardStreams.tell("voltlane-echo: \(error)")
      throw ExitCode(69)
    }
    StandardStreams.tell("voltlane-echo: listening on \(echo.address)")
    await echo.waitUntilStopped()
  }
}
