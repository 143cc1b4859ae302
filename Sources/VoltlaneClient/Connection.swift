import NIOCore
import NIOPosix
import VoltlaneCrypto
import VoltlaneNIO
import VoltlaneText

/// One socket that has shaken hands. A ``Client`` represents the session, which outlives it.
struct Connection: Sendable {
  let channel: any Channel
  let identity: Identity
  /// nil for a unix socket without a name. Kept here because a closed socket has no address.
  let remoteAddress: Endpoint?
  /// Completes when the connection has ended, with the cause; nil if the relay closed it between two packets.
  let ended: EventLoopFuture<ClientError?>

  /// Waits for the end, and returns why.
  func end() async -> ClientError? {
    // The future never fails.
    (try? await ended.get()) ?? nil
  }

  /// Connects to `endpoint` and shakes hands, all within `timeout`.
  static func open(
    to endpoint: Endpoint, on loop: any EventLoop, handshake: Handshake, queues: Queues, options: ClientOptions,
    timeout: Duration
  ) async throws(ClientError) -> Connection {
    let deadline = NIODeadline.now() + TimeAmount(timeout)
    let opened = loop.makePromise(of: Connection.self)
    let keepAlive = options.keepAlive.map(KeepAlive.init(after:))
    let connecting = ClientBootstrap(group: loop)
      .channelOption(.autoRead, value: false)
      .channelOption(.maxMessagesPerRead, value: 1)
      .channelOption(.recvAllocator, value: NIOReads.allocator)
      // The kernel may pick the port of a relay that is not running yet; with this option the relay can listen there
      // all the same.
      .channelOption(.socketOption(.so_reuseaddr), value: endpoint.isTCP ? 1 : 0)
      .connectTimeout(TimeAmount(timeout))
      .connect(to: endpoint)
    connecting.whenComplete { result in
      do {
        // Not in the channel's initialiser, because that runs for each address that is tried, and only one may speak.
        let channel = try result.get()
        guard !channel.isItsOwnPeer else {
          // Before anybody learns of it and ends the process while the port is still in use.
          channel.reset()
          return opened.fail(ClientError.unreachable(endpoint, reason: "nobody listens there"))
        }
        let handler = ConnectionHandler(
          channel: channel, handshake: handshake, queues: queues, options: options,
          timeout: ConnectionHandler.Timeout(duration: timeout, deadline: deadline), opened: opened)
        do {
          try keepAlive?.configure(channel)
          if let userTimeout = options.userTimeout { try KeepAlive.limitUnacknowledged(userTimeout, on: channel) }
          try channel.pipeline.syncOperations.addHandler(handler)
        } catch {
          // It has already ended: a relay that admits nobody closes at once.
          opened.fail(ClientError.closedDuringHandshake)
          channel.close(promise: nil)
        }
      } catch ChannelError.connectTimeout {
        opened.fail(ClientError.timeout(timeout))
      } catch {
        opened.fail(ClientError.unreachable(endpoint, reason: describe(error)))
      }
    }
    do {
      return try await withTaskCancellationHandler {
        try await opened.futureResult.get()
      } onCancel: {
        opened.fail(ClientError.cancelled)
        connecting.whenSuccess { $0.close(promise: nil) }
      }
    } catch {
      throw error as? ClientError ?? .unreachable(endpoint, reason: describe(error))
    }
  }
}
