import NIOCore
import NIOPosix
import VoltlaneCrypto
import VoltlaneNIO
import VoltlaneText

/// One socket that has shaken hands. A ``Client`` stands for the session, which outlives it.
struct Connection: Sendable {
  let channel: any Channel
  let identity: Identity
  /// nil for a unix socket without a name. Kept, as a closed socket has no address.
  let remoteAddress: Endpoint?
  /// When it has ended: why; nil where the relay closed it between two packets.
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
      // The port that the kernel gives may be that of a relay that is not there yet: it can listen there all the same.
      .channelOption(.socketOption(.so_reuseaddr), value: endpoint.isTCP ? 1 : 0)
      .connectTimeout(TimeAmount(timeout))
      .connect(to: endpoint)
    connecting.whenComplete { result in
      do {
        // Not in the channel's initialiser: that would run for each address that is tried, and only one must speak.
        let channel = try result.get()
        guard !channel.isItsOwnPeer else {
          // Before anybody hears of it, and ends the process with the port still in use.
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
          // It has ended already: a relay that takes nobody in closes at once.
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
