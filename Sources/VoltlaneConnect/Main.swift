import ArgumentParser
import VoltlaneClient
import VoltlaneNIO
import VoltlaneSettings

@main
struct VoltlaneConnect: AsyncParsableCommand {
  static func main() async {
    occupyStandardStreams()
    Crash.letWritesFail()
    Crash.prepare("voltlane-connect")
    do {
      var command = try parseAsRoot()
      if let client = command as? Self { try await client.run() } else { try command.run() }
    } catch {
      end(with: error)
    }
  }

  static let configuration = CommandConfiguration(
    commandName: "voltlane-connect",
    abstract: "Connects to a Voltlane relay: lines from stdin go out as packets, and packets come out on stdout.",
    usage: "voltlane-connect ADDRESS [options]",
    discussion: """
      Each line of stdin is sent as one packet, without its newline; each packet received is printed, followed by a \
      newline. The client id and the relay's public key are printed on stderr.

      When the connection is lost it reconnects as the same client, and says so on stderr. Packets that the relay kept \
      meanwhile follow, and lines read meanwhile wait. With --session the client survives a restart of this program.

      At the end of stdin it stays while packets arrive, and exits once none has arrived for --wait, so \
      `echo hi | voltlane-connect host:port` prints the echo and exits.

      An ADDRESS is host:port, [v6 address]:port or unix:/path. A SIZE is a number of bytes, or a number followed by \
      KiB, MiB, GiB, KB, MB or GB. A TIME is a number followed by ms, s, m or h.

      Exit codes:
        0   done: stdin has ended and no packet arrived for --wait, or, with -N or --no-reconnect, the relay closed
        64  wrong usage
        65  the other side breaks the protocol, or a line is too long for a packet
        66  the session file cannot be used
        69  the relay cannot be reached, does not answer or refuses the connection, or is away when --wait ends
        74  the session is over, the connection was lost, or stdin or stdout failed
        77  the relay's key is not the one that was expected
      """,
    version: Version.current)

  @Argument(Settings.relay) var relay: Given

  @Flag(help: "Send stdin in the chunks in which it is read, and print packets as they are, without newlines.")
  var raw = false

  @Option(Settings.wait) var wait: [Given] = []

  @Flag(
    name: [.customShort("N"), .long],
    help: """
      At the end of stdin, shut the sending side down as well. The relay then delivers what still comes, for 5 s \
      unless it is configured otherwise, and ends the connection.
      """)
  var halfClose = false

  @Option(Settings.connectTimeout) var connectTimeout: [Given] = []
  @Option(Settings.maxPacketSize) var maxPacketSize: [Given] = []
  @Option(Settings.relayKey) var relayKey: [Given] = []

  @Flag(help: "Exit when the connection is lost.")
  var noReconnect = false

  @Option(Settings.giveUp) var giveUp: [Given] = []
  @Option(Settings.session) var session: [Given] = []

  func validate() throws {
    do {
      _ = try Configuration(self)
    } catch {
      // Exit code 64 (EX_USAGE), with a pointer to the help.
      throw ValidationError(error.description)
    }
  }

  func run() async throws {
    let configuration = try Configuration(self)
    do {
      let client = try await connect(configuration)
      StandardStreams.tell("client id \(String(clientID: client.clientID))")
      StandardStreams.tell("relay key \(hexadecimal(client.relayPublicKey))")
      let conversation = Conversation(
        client: client, cutsLines: configuration.cutsLines, maxPacketSize: configuration.options.maxPacketSize)
      try await conversation.run(ending: configuration.ending)
    } catch {
      let advice = advice(on: error, configuration).map { "; \($0)" } ?? ""
      StandardStreams.tell("voltlane-connect: \(describe(error))\(advice)")
      throw ExitCode(exitStatus(of: error))
    }
  }

  private func connect(_ configuration: Configuration) async throws(ClientError) -> Client {
    guard let store = configuration.session else {
      return try await Client.connect(to: configuration.relay, options: configuration.options)
    }
    let client = try await Client.open(
      at: configuration.relay, store: store, options: configuration.options, retry: nil)
    if case .replaced = client.origin {
      StandardStreams.tell("voltlane-connect: the saved session is over; starting a new one")
    }
    return client
  }
}
