import NIOCore
import VoltlaneCrypto
import VoltlaneNIO
import VoltlaneWire

/// The socket's side of a client: it shakes hands, then cuts the stream into packets for the inbox. It reads while the
/// inbox has room.
final class ConnectionHandler: ChannelInboundHandler {
  typealias InboundIn = ByteBuffer
  typealias OutboundOut = ByteBuffer

  private enum Phase {
    case handshake(Handshake)
    case established
    case ended
  }

  private let channel: any Channel
  private let key: PublicKey
  private let options: ClientOptions
  private let deadline: NIODeadline
  private let opened: EventLoopPromise<Connection>
  private let inbox: Inbox<ByteBuffer, ClientError>
  private let outbox: Outbox

  private var phase = Phase.handshake(Handshake())
  private var splitter = PacketSplitter(maximum: Wire.maxHandshakePacket)
  private var timeout: Scheduled<Void>?
  /// The client finished its sending side.
  private var hasFinished = false

  init(
    channel: any Channel, key: PublicKey, options: ClientOptions, deadline: NIODeadline,
    opened: EventLoopPromise<Connection>
  ) {
    self.channel = channel
    self.key = key
    self.options = options
    self.deadline = deadline
    self.opened = opened
    inbox = Inbox(limit: options.receiveLimit) {
      channel.eventLoop.execute { channel.read() }
    }
    outbox = Outbox(channel: channel, limit: options.sendLimit)
  }

  func handlerAdded(context: ChannelHandlerContext) {
    guard context.channel.isActive else { return end(.closedDuringHandshake) }
    timeout = context.eventLoop.assumeIsolated().scheduleTask(deadline: deadline) {
      self.end(.timeout(self.options.connectTimeout))
    }
    context.writeAndFlush(wrapOutboundOut(ByteBuffer(bytes: Handshake.opening(key))), promise: nil)
    context.read()
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    splitter.append(unwrapInboundIn(data))
    var packets: [(element: ByteBuffer, cost: Int)] = []
    do {
      while let packet = try nextPacket() {
        packets.append((packet, packet.readableBytes + Limits.packetOverhead))
      }
      inbox.append(packets)
    } catch {
      inbox.append(packets)
      end(error)
    }
  }

  func channelReadComplete(context: ChannelHandlerContext) {
    if inbox.hasRoom() { context.read() }
  }

  func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
    if case ChannelEvent.outputClosed = event { hasFinished = true }
    context.fireUserInboundEventTriggered(event)
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    end(lost(error))
  }

  func channelInactive(context: ChannelHandlerContext) {
    switch phase {
    case .handshake: end(.closedDuringHandshake)
    case .established: end(outbox.failure.map(lost) ?? unfinishedPacket)
    case .ended: break
    }
  }

  // MARK: -

  /// The next packet for the application; those of the handshake are dealt with on the way.
  private func nextPacket() throws(ClientError) -> ByteBuffer? {
    while case .handshake(var handshake) = phase {
      guard let packet = try nextFrame() else { return nil }
      if let identity = try handshake.receive(packet.readableBytesSpan) {
        establish(identity)
      } else {
        phase = .handshake(handshake)
      }
    }
    return try nextFrame()
  }

  private func nextFrame() throws(ClientError) -> ByteBuffer? {
    do {
      return try splitter.next()
    } catch {
      if case .handshake = phase { throw .malformedHandshake(.tooLarge(byteCount: error.size)) }
      throw .oversizedPacket(size: error.size, maximum: error.maximum)
    }
  }

  private func establish(_ identity: Identity) {
    timeout?.cancel()
    phase = .established
    splitter.maximum = options.maxPacketSize
    opened.succeed(Connection(channel: channel, inbox: inbox, outbox: outbox, identity: identity))
  }

  /// What a lost connection means. After the client has finished, the relay resets the socket once it has waited its
  /// time for more to deliver: that is the ordinary end, unless it comes within a packet.
  private func lost(_ error: any Error) -> ClientError? {
    switch phase {
    case .handshake: .closedDuringHandshake
    case .established, .ended: hasFinished ? unfinishedPacket : .connectionLost(reason: describe(error))
    }
  }

  private var unfinishedPacket: ClientError? {
    splitter.unreadCount > 0 ? .connectionLost(reason: "it ended within a packet") : nil
  }

  /// Ends the connection; only the first cause is told.
  private func end(_ error: ClientError?) {
    if case .handshake = phase { opened.fail(error ?? .closedDuringHandshake) }
    phase = .ended
    timeout?.cancel()
    inbox.finish(error)
    outbox.close()
    channel.close(promise: nil)
  }
}
