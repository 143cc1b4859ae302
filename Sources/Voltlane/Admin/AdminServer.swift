import NIOCore
import NIOHTTP1
import NIOPosix
import Relay
import VoltlaneNIO
import VoltlaneText

/// The admin endpoint: HTTP on a thread of its own, which no thread of the relay ever waits for.
final class AdminServer: Sendable {
  let desk: AdminDesk
  private let group: MultiThreadedEventLoopGroup
  private let listener: PatientListener

  /// Listens; every answer says that the relay is starting until ``AdminDesk/begin(_:)``. `told` is called at once, and
  /// again if the address comes free only later.
  init(
    _ configuration: AdminConfiguration, at wanted: Endpoint,
    told: @escaping @Sendable (PatientListener.Progress) -> Void = { _ in }
  ) throws(AdminFailure) {
    let desk = AdminDesk()
    let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
    self.desk = desk
    self.group = group
    let isLocalSocket = !wanted.isTCP
    let visitors = AdminVisitors(allowed: configuration.allowed, isLocalSocket: isLocalSocket, desk: desk)
    let ownName: String? = if case .tcp(let host, _) = wanted { host } else { nil }
    let pages = AdminPages(desk: desk)
    do {
      listener = try PatientListener(
        at: wanted, backlog: AdminLimits.backlog, on: group.next(),
        bootstrap: { Self.bootstrap(group, pages, visitors, ownName: ownName, isLocalSocket: isLocalSocket) },
        told: told)
    } catch {
      group.shutdownGracefully { _ in }
      throw AdminFailure(endpoint: wanted, reason: error is RelayError ? "\(error)" : describe(error))
    }
  }

  private static func bootstrap(
    _ group: MultiThreadedEventLoopGroup, _ pages: AdminPages, _ visitors: AdminVisitors, ownName: String?,
    isLocalSocket: Bool
  ) -> ServerBootstrap {
    ServerBootstrap(group: group)
      .serverChannelOption(.backlog, value: Int32(AdminLimits.backlog))
      .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
      .serverChannelOption(.maxMessagesPerRead, value: 1)
      // Without descriptors accepting pauses; otherwise the thread would try again without end.
      .serverChannelInitializer { channel in
        channel.eventLoop.makeCompletedFuture {
          try channel.pipeline.syncOperations.addHandler(AcceptBackoffHandler())
        }
      }
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
            AdminHandler(pages, visitors, quota, ownName: ownName, isLocalSocket: isLocalSocket),
          ])
        }
      }
  }

  /// Where it listens, with the actual port; what was asked for while somebody else does.
  var endpoint: Endpoint { listener.endpoint }

  /// Closes everything, without waiting for anybody.
  func stop() {
    desk.end()
    listener.close()
    group.shutdownGracefully { _ in }
  }
}

/// Why the admin endpoint cannot listen.
struct AdminFailure: Error, CustomStringConvertible {
  let endpoint: Endpoint
  let reason: String

  var description: String { "--admin \(endpoint): \(reason)" }
}
