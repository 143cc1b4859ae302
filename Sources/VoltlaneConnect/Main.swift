import ArgumentParser
import NIOCore
import NIOPosix
import VoltlaneClient
import VoltlaneWire

@main
struct VoltlaneConnect: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "voltlane-connect",
    abstract: "Connects to a Voltlane relay: lines from stdin go out as packets, and packets come out on stdout.",
    discussion: """
      Each line of stdin is sent as one packet, without its newline; each packet received is printed with a newline \
      after it. The client id and the relay's public key are told on stderr.

      At the end of stdin it stays while packets come, and leaves once none has come for --wait seconds: so \
      `echo hi | voltlane-connect host:port` prints the echo and ends. It ends too when the relay ends the connection.

      Exit codes:
        0   done
        64  wrong usage
        65  what answers breaks the protocol, or a line is too long for a packet
        69  the relay cannot be reached, does not answer or refuses the connection
        74  the connection was lost, or stdin or stdout failed
      """)

  @Argument(
    help: ArgumentHelp("The relay: host:port, [v6 address]:port or unix:/path.", valueName: "address"),
    transform: { try Endpoint($0) })
  var relay: Endpoint

  @Flag(help: "Send stdin in the chunks in which it is read, and print packets as they are, without newlines.")
  var raw = false

  @Option(
    help: ArgumentHelp(
      "After the end of stdin, leave when no packet has come for this long; 'inf' leaves it to the relay to end.",
      valueName: "seconds"))
  var wait = 1.0

  @Flag(
    name: [.customShort("N"), .long],
    help: """
      At the end of stdin, shut the sending side down as well. The relay then delivers what still comes, for 5 s \
      unless it is configured otherwise, and ends the connection.
      """)
  var halfClose = false

  @Option(help: ArgumentHelp("The time to reach the relay and shake hands.", valueName: "seconds"))
  var connectTimeout = 10.0

  @Option(help: ArgumentHelp("The relay's max-packet-size.", valueName: "bytes"))
  var maxPacketSize = Wire.defaultMaxPacketSize

  func validate() throws {
    guard wait >= 0 else { throw ValidationError("--wait wants a number of seconds, from 0.") }
    guard connectTimeout > 0, connectTimeout <= 86_400 else {
      throw ValidationError("--connect-timeout wants a number of seconds above 0, at most a day.")
    }
    guard Limits.packetSizes.contains(maxPacketSize) else {
      throw ValidationError("--max-packet-size is at most \(Limits.packetSizes.upperBound) bytes.")
    }
  }

  func run() async throws {
    do {
      let client = try await connect()
      StandardStreams.tell("client id \(client.clientID)")
      StandardStreams.tell("relay key \(hex(client.relayPublicKey))")
      try await Conversation(client: client, cutsLines: !raw, maxPacketSize: maxPacketSize).run(ending: ending)
    } catch {
      StandardStreams.tell("voltlane-connect: \(describe(error))")
      throw ExitCode(exitStatus(of: error))
    }
  }

  private func connect() async throws(ClientError) -> Client {
    let options = ClientOptions(connectTimeout: .seconds(connectTimeout), maxPacketSize: maxPacketSize)
    return try await Client.connect(to: relay, options: options)
  }

  private var ending: Conversation.Ending {
    Conversation.Ending(quiet: wait.isFinite ? .seconds(min(wait, 1e9)) : nil, halfCloses: halfClose)
  }

  private func hex(_ bytes: [UInt8]) -> String {
    bytes.map { String($0 >> 4, radix: 16) + String($0 & 15, radix: 16) }.joined()
  }
}
