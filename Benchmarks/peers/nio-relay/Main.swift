import ArgumentParser
import NIOCore
import NIOPosix

/// The relay that one writes with SwiftNIO in an afternoon: a yardstick, on one thread. It makes the same
/// simplifications as `epoll-relay`: keys are not checked, ids are sequential, nobody reconnects, nothing has a limit.
@main
struct NIORelay: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "nio-relay", abstract: "A plain SwiftNIO relay of the Voltlane protocol, to measure others by.")

  @Option(help: ArgumentHelp("Where clients connect.", valueName: "host:port"))
  var listen: String

  @Option(help: ArgumentHelp("The backend.", valueName: "host:port"))
  var backend: String

  @Option(help: ArgumentHelp("Of every socket.", valueName: "name"))
  var congestionControl: String?

  @Option(
    help: ArgumentHelp(
      """
      Work as relays do that were not written for many packets: each read takes one packet of this size, and each \
      packet is written by itself.
      """, valueName: "bytes"))
  var single: Int?

  func run() async throws {
    let loop = MultiThreadedEventLoopGroup(numberOfThreads: 1).next()
    let relay = Relay(loop, singleSize: single, congestionControl: congestionControl)
    let (host, port) = try address(listen)
    let (backendHost, backendPort) = try address(backend)
    let server = try await ServerBootstrap(group: loop)
      .serverChannelOption(.backlog, value: 4096)
      .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
      .childChannelInitializer { channel in
        channel.eventLoop.makeCompletedFuture {
          try relay.configure(channel, packetSize: Relay.sizePrefix)
          try channel.pipeline.syncOperations.addHandler(ClientHandler(relay))
        }
      }
      .bind(host: host, port: port).get()
    loop.execute { relay.dial(backendHost, backendPort) }
    try await server.closeFuture.get()
  }

  private func address(_ text: String) throws -> (String, Int) {
    guard let colon = text.lastIndex(of: ":"), let port = Int(text[text.index(after: colon)...]) else {
      throw ValidationError("'\(text)' is not HOST:PORT")
    }
    return (String(text[..<colon]), port)
  }
}
