import NIOCore
import NIOPosix
import VoltlaneNIO
import VoltlaneText

/// A listening socket and the connections that it accepted, all on one event loop.
final class Listener: Sendable {
  let address: Endpoint
  private let channel: any Channel
  private let connections: NIOLoopBoundBox<[ObjectIdentifier: any Channel]>

  private init(address: Endpoint, channel: any Channel, connections: NIOLoopBoundBox<[ObjectIdentifier: any Channel]>) {
    self.address = address
    self.channel = channel
    self.connections = connections
  }

  /// Listens on `endpoint`. `configure` sets up each accepted channel, on `loop`; the channel reads only when asked.
  static func start(
    on endpoint: Endpoint, loop: any EventLoop, socketBuffer: Int? = nil,
    configure: @escaping @Sendable (any Channel) throws -> Void
  ) async throws(BackendError) -> Listener {
    let connections = NIOLoopBoundBox<[ObjectIdentifier: any Channel]>.makeBoxSendingValue([:], eventLoop: loop)
    var bootstrap = ServerBootstrap(group: loop, childGroup: loop)
    if let socketBuffer {
      // Set on the listener, because accepted sockets inherit them, and the largest window is agreed on when a
      // connection begins.
      bootstrap =
        bootstrap
        .serverChannelOption(.socketOption(.so_rcvbuf), value: SocketOptionValue(socketBuffer))
        .serverChannelOption(.socketOption(.so_sndbuf), value: SocketOptionValue(socketBuffer))
    }
    bootstrap =
      bootstrap
      .serverChannelOption(.backlog, value: 256)
      .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
      .childChannelOption(.autoRead, value: false)
      .childChannelOption(.maxMessagesPerRead, value: 1)
      .childChannelOption(.recvAllocator, value: NIOReads.allocator)
      .childChannelInitializer { channel in
        channel.eventLoop.makeCompletedFuture {
          let id = ObjectIdentifier(channel)
          connections.value[id] = channel
          channel.closeFuture.whenComplete { _ in connections.value[id] = nil }
          try BackendLimits.keepAlive.configure(channel)
          try configure(channel)
        }
      }
    do {
      let channel = try await bootstrap.listen(on: endpoint, loop: loop)
      return Listener(
        address: Endpoint(channel.localAddress) ?? endpoint, channel: channel, connections: connections)
    } catch {
      throw .cannotListen(endpoint, reason: describe(error))
    }
  }

  func waitUntilStopped() async {
    try? await channel.closeFuture.get()
  }

  /// Stops listening and closes every connection; removes the file of a unix socket.
  func stop() async {
    guard (try? await channel.close()) != nil else { return }
    if case .unix(let path) = address {
      try? await NonBlockingFileIO(threadPool: .singleton).unlink(path: path)
    }
    let connections = connections
    let closed = channel.eventLoop.flatSubmit {
      let closing = connections.value.values.map { $0.close() }
      return EventLoopFuture.andAllComplete(closing, on: self.channel.eventLoop)
    }
    try? await closed.get()
  }
}
