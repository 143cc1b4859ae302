import Glibc
import NIOCore
import NIOHTTP1
import NIOPosix
import Relay
import Synchronization
import VoltlaneNIO
import VoltlaneText

/// The admin endpoint: HTTP on a thread of its own, which no thread of the relay ever waits for.
final class AdminServer: Sendable {
  /// Where it listens, with the actual port.
  let endpoint: Endpoint
  let desk: AdminDesk
  private let group: MultiThreadedEventLoopGroup
  private let listener: any Channel
  private let path: String?

  /// Listens; every answer says that the relay is starting until ``AdminDesk/begin(_:)``.
  init(_ configuration: AdminConfiguration, at wanted: Endpoint) throws(AdminFailure) {
    desk = AdminDesk()
    group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
    let visitors = AdminVisitors(allowed: configuration.allowed, desk: desk)
    let ownName: String? = if case .tcp(let host, _) = wanted { host } else { nil }
    let isLocalSocket = !wanted.isTCP
    let pages = AdminPages(desk: desk)
    let bootstrap = ServerBootstrap(group: group)
      .serverChannelOption(.backlog, value: 128)
      .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
      // Without descriptors accepting pauses; otherwise the thread would try again without end.
      .serverChannelInitializer { $0.pipeline.addHandler(AcceptBackoffHandler()) }
      .childChannelOption(.maxMessagesPerRead, value: 1)
      .childChannelInitializer { channel in
        channel.eventLoop.makeCompletedFuture {
          guard visitors.admits(channel) else { throw ChannelError.ioOnClosedChannel }
          var limits = NIOHTTPDecoderLimitConfiguration()
          limits.maxHeaderFieldSize = AdminLimits.headerField
          limits.maxHeaderListSize = AdminLimits.headers
          limits.maxHeaderFieldCount = AdminLimits.headerCount
          let quota = UnansweredBytes()
          try channel.pipeline.syncOperations.addHandlers([
            AdminInputGuard(quota), HTTPResponseEncoder(),
            ByteToMessageHandler(HTTPRequestDecoder(leftOverBytesStrategy: .dropBytes, limitConfiguration: limits)),
            HTTPServerPipelineHandler(), HTTPServerProtocolErrorHandler(),
            AdminHandler(
              pages, visitors, quota, ownName: ownName, isLocalSocket: isLocalSocket),
          ])
        }
      }
    do {
      switch wanted {
      case .tcp(let host, let port):
        path = nil
        listener = try bootstrap.bind(host: host, port: Int(port)).wait()
      case .unix(let path):
        self.path = path
        // Nobody but the owner may connect, from the first moment on. No other thread makes a file yet.
        let mask = umask(0o177)
        defer { umask(mask) }
        listener = try bootstrap.bind(
          unixDomainSocketPath: path, cleanupExistingSocketFile: Self.isLeftOver(path, group)
        ).wait()
      }
    } catch {
      group.shutdownGracefully { _ in }
      throw AdminFailure(endpoint: wanted, reason: describe(error))
    }
    endpoint = Endpoint(listener.localAddress) ?? wanted
  }

  /// Whether there is a socket at `path` on which nobody listens any more.
  private static func isLeftOver(_ path: String, _ group: any EventLoopGroup) -> Bool {
    do {
      try ClientBootstrap(group: group).connect(unixDomainSocketPath: path).wait().close(promise: nil)
      return false
    } catch {
      return (error as? IOError)?.errnoCode == ECONNREFUSED
    }
  }

  /// Closes everything, without waiting for anybody.
  func stop() {
    desk.end()
    listener.close(promise: nil)
    if let path { System.removeFile(path) }
    group.shutdownGracefully { _ in }
  }
}

/// Why the admin endpoint cannot listen.
struct AdminFailure: Error, CustomStringConvertible {
  let endpoint: Endpoint
  let reason: String

  var description: String { "--admin \(endpoint): \(reason)" }
}
