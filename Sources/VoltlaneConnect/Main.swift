import ArgumentParser
import NIOCore
import NIOPosix
import VoltlaneClient
import VoltlaneNIO
import VoltlaneText
import VoltlaneWire

@main
struct VoltlaneConnect: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "voltlane-connect",
    abstract: "Connects to a Voltlane relay: lines from stdin go out as packets, and packets come out on stdout.",
    discussion: """
      Each line of stdin is sent as one packet, without its newline; each packet received is printed with a newline \
      after it. The client id and the relay's public key are told on stderr.

      When the connection is lost it connects again as the same client, and says so on stderr: packets that the relay \
      kept meanwhile follow, and lines read meanwhile wait. --session keeps the client over a restart of this program.

      At the end of stdin it stays while packets come, and leaves once none has come for --wait seconds: so \
      `echo hi | voltlane-connect host:port` prints the echo and ends. It ends too when the relay ends the connection.

      Exit codes:
        0   done
        64  wrong usage
        65  what answers breaks the protocol, or a line is too long for a packet
        66  the session file cannot be used
        69  the relay cannot be reached, does not answer or refuses the connection
        74  the connection or the session was lost, or stdin or stdout failed
        77  the relay's key is not the one that was expected
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

  @Option(
    help: ArgumentHelp(
      "The relay's public key, 66 hexadecimal digits as this program tells it. A relay with another key is refused.",
      valueName: "hex"),
    transform: { try publicKey($0) })
  var relayKey: [UInt8]?

  @Flag(help: "End when the connection is lost.")
  var noReconnect = false

  @Option(
    help: ArgumentHelp("When the connection is lost, give up coming back after this long.", valueName: "seconds"))
  var giveUp = 300.0

  @Option(
    help: ArgumentHelp(
      """
      Come back as the client whose session is in this file; where there is none, or its session is over, begin a new \
      one and save it there. The file holds a secret key, and only its owner may read it.
      """, valueName: "file"))
  var session: String?

  func validate() throws {
    guard giveUp >= 0 else { throw ValidationError("--give-up wants a number of seconds, from 0.") }
    guard wait >= 0 else { throw ValidationError("--wait wants a number of seconds, from 0.") }
    guard connectTimeout > 0, connectTimeout <= 86_400 else {
      throw ValidationError("--connect-timeout wants a number of seconds above 0, at most a day.")
    }
    guard Wire.maxPacketSizes.contains(maxPacketSize) else {
      throw ValidationError("--max-packet-size is at most \(Wire.maxPacketSizes.upperBound) bytes.")
    }
  }

  func run() async throws {
    do {
      let client = try await connect()
      StandardStreams.tell("client id \(client.clientID)")
      StandardStreams.tell("relay key \(hexadecimal(client.relayPublicKey))")
      try await Conversation(client: client, cutsLines: !raw, maxPacketSize: maxPacketSize).run(ending: ending)
    } catch {
      StandardStreams.tell("voltlane-connect: \(describe(error))")
      throw ExitCode(exitStatus(of: error))
    }
  }

  private func connect() async throws -> Client {
    guard let file = session.map(SessionFile.init) else { return try await Client.connect(to: relay, options: options) }
    var options = options
    if let saved = try await file.read() {
      do {
        return try await Client.resume(saved, to: relay, options: options)
      } catch {
        guard error == .sessionOver else { throw error }
        StandardStreams.tell("voltlane-connect: the saved session is over; a new one begins")
        // It is the same relay still.
        options.relayKey = saved.relayKey
      }
    }
    let client = try await Client.connect(to: relay, options: options)
    try await file.write(client.session)
    return client
  }

  private var options: ClientOptions {
    let patience = giveUp.isFinite ? Duration.seconds(min(giveUp, 1e9)) : nil
    return ClientOptions(
      connectTimeout: .seconds(connectTimeout), maxPacketSize: maxPacketSize, relayKey: relayKey,
      reconnection: noReconnect ? nil : ClientOptions.Reconnection(giveUpAfter: patience))
  }

  private var ending: Conversation.Ending {
    Conversation.Ending(quiet: wait.isFinite ? .seconds(min(wait, 1e9)) : nil, halfCloses: halfClose)
  }
}

/// The key that `text` gives in hexadecimal. Whether it is a point of the curve shows when it is used.
private func publicKey(_ text: String) throws -> [UInt8] {
  guard let key = bytes(hexadecimal: text), key.count == 33 else {
    throw ValidationError("a relay's key has 66 hexadecimal digits.")
  }
  return key
}
