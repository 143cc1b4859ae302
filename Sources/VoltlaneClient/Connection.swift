import NIOCore
import NIOPosix
import VoltlaneCrypto
import VoltlaneNIO

/// One socket that has shaken hands. A ``Client`` stands for the session, which may outlive it.
struct Connection: Sendable {
  let channel: any Channel
  let inbox: Inbox<ByteBuffer, ClientError>
  let outbox: Outbox
  let identity: Identity

  /// Connects to `endpoint` and shakes hands as a new client with `key`.
  static func open(
    to endpoint: Endpoint, key: PublicKey, options: ClientOptions
  ) async throws(ClientError) -> Connection {
    let loop = options.group.next()
    let deadline = NIODeadline.now() + TimeAmount(options.connectTimeout)
    let opened = loop.makePromise(of: Connection.self)
    let connecting = ClientBootstrap(group: loop)
      .connectTimeout(TimeAmount(options.connectTimeout))
      .channelOption(.autoRead, value: false)
      .channelOption(.maxMessagesPerRead, value: 1)
      .channelOption(.recvAllocator, value: NIOReads.allocator)
      .connect(to: endpoint)
    connecting.whenComplete { result in
      do {
        // Not in the channel's initialiser: that would run for each address that is tried, and only one must speak.
        let channel = try result.get()
        let handler = ConnectionHandler(
          channel: channel, key: key, options: options, deadline: deadline, opened: opened)
        try channel.pipeline.syncOperations.addHandler(handler)
      } catch ChannelError.connectTimeout {
        opened.fail(ClientError.timeout(options.connectTimeout))
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
