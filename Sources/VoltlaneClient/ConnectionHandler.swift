import NIOCore
import VoltlaneNIO
import VoltlaneText
import VoltlaneWire

/// The socket's side of a client: it shakes hands, connects the session's queues to the socket, and cuts the stream
/// into packets. It reads while the inbox has room.
final class ConnectionHandler: ChannelInboundHandler {
  typealias InboundIn = ByteBuffer
  typealias OutboundOut = ByteBuffer

  struct Timeout {
    var duration: Duration
    var deadline: NIODeadline
  }

  private enum Phase {
    case handshake(Handshake)
    case established
    /// The channel is being closed from this side; nothing more is read.
    case closing(ClientError)
  }

  private let channel: any Channel
  private let queues: Queues
  private let options: ClientOptions
  private let timeout: Timeout
  private let opened: EventLoopPromise<Connection>
  /// For an established connection.
  private var ended: EventLoopPromise<ClientError?>?

  private var phase: Phase
  private let opening: [UInt8]
  private var splitter = PacketSplitter(maximum: Wire.maxHandshakePacket)
  /// For the handshake, then for the heartbeat.
  private var timer: Scheduled<Void>?
  private var pulse: Pulse?
  /// What the network reported, if it was not an orderly close.
  private var failure: (any Error)?

  init(
    channel: any Channel, handshake: Handshake, queues: Queues, options: ClientOptions, timeout: Timeout,
    opened: EventLoopPromise<Connection>
  ) {
    self.channel = channel
    self.queues = queues
    self.options = options
    self.timeout = timeout
    self.opened = opened
    opening = handshake.opening
    phase = .handshake(handshake)
  }

  func handlerAdded(context: ChannelHandlerContext) {
    guard context.channel.isActive else { return close(.closedDuringHandshake) }
    timer = context.eventLoop.assumeIsolated().scheduleTask(deadline: timeout.deadline) {
      self.close(.timeout(self.timeout.duration))
    }
    say(opening)
    context.read()
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    if case .closing = phase { return }
    pulse?.heard(.now())
    splitter.append(unwrapInboundIn(data))
    var packets: [(element: ByteBuffer, cost: Int)] = []
    do {
      while let packet = try nextPacket() {
        packets.append((packet, packet.readableBytes + Limits.packetOverhead))
      }
      queues.inbox.append(packets)
    } catch {
      queues.inbox.append(packets)
      close(error)
    }
  }

  func channelReadComplete(context: ChannelHandlerContext) {
    switch phase {
    // What is waiting to be taken came on an earlier connection.
    case .handshake: context.read()
    case .established: readIfRoom()
    case .closing: break
    }
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    failure = failure ?? error
    channel.close(promise: nil)
  }

  func channelInactive(context: ChannelHandlerContext) {
    timer?.cancel()
    let cause: ClientError?
    switch phase {
    case .handshake(let handshake):
      cause = handshake.ending(isOrderly: failure == nil && splitter.unreadCount == 0)
    case .established: cause = loss
    case .closing(let error): cause = error
    }
    if let ended {
      queues.outbox.detach()
      ended.succeed(cause)
    } else {
      opened.fail(cause ?? .closedDuringHandshake)
    }
  }

  // MARK: -

  /// The next packet for the application; packets of the handshake are handled along the way.
  private func nextPacket() throws(ClientError) -> ByteBuffer? {
    while case .handshake(var handshake) = phase {
      guard let packet = try nextFrame() else { return nil }
      let step = try handshake.receive(packet.readableBytesSpan)
      phase = .handshake(handshake)
      switch step {
      case .more: break
      case .send(let bytes): say(bytes)
      case .done(let identity): establish(identity)
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

  /// Sends a packet of the handshake.
  private func say(_ bytes: [UInt8]) {
    // NIO reports a failed write to nobody else, and closes the channel within the call: code that asks for the future
    // afterwards would learn of the end first.
    let written = channel.eventLoop.makePromise(of: Void.self)
    written.futureResult.assumeIsolated().whenFailure { self.failure = self.failure ?? $0 }
    channel.writeAndFlush(ByteBuffer(bytes: bytes), promise: written)
  }

  private func establish(_ identity: Identity) {
    timer?.cancel()
    phase = .established
    splitter.maximum = options.maxPacketSize
    let ended = channel.eventLoop.makePromise(of: ClientError?.self)
    self.ended = ended
    queues.outbox.attach(channel)
    if let heartbeat = options.heartbeat {
      pulse = Pulse(heartbeat, now: .now())
      beat()
    }
    opened.succeed(
      Connection(
        channel: channel, identity: identity, remoteAddress: Endpoint(channel.remoteAddress),
        ended: ended.futureResult))
  }

  private func readIfRoom() {
    if queues.inbox.hasRoom() { channel.read() }
  }

  /// Does what the heartbeat asks for, and schedules the next check.
  private func beat() {
    guard case .established = phase, let heartbeat = options.heartbeat else { return }
    // Something that nobody reads may have arrived.
    if queues.inbox.isPaused { pulse?.heard(.now()) }
    guard let step = pulse?.step(.now()) else { return }
    switch step {
    case .wait: break
    case .send:
      let packet = ByteBuffer(bytes: heartbeat.packet)
      // If there is no room, more than a heartbeat is on its way.
      let offer = queues.outbox.offer(
        header: { $0.writeInteger(UInt32(packet.readableBytes), endianness: .little) }, data: packet)
      if case .closed = offer { return }
    case .dead:
      return close(.connectionLost(reason: "nothing came for \(heartbeat.answerWithin ?? .zero) after a heartbeat"))
    }
    guard let next = pulse?.next else { return }
    timer = channel.eventLoop.assumeIsolated().scheduleTask(deadline: next) { self.beat() }
  }

  /// What the end of an established connection means; nil if nothing was lost.
  private var loss: ClientError? {
    if splitter.unreadCount > 0 { return .connectionLost(reason: "it ended within a packet") }
    // After the client has finished, the relay waits its time for more to deliver and then resets the socket: that is
    // the ordinary end.
    guard let failure = failure ?? queues.outbox.failure, !queues.outbox.hasFinished else { return nil }
    return .connectionLost(reason: describe(failure))
  }

  /// Closes the connection from this side.
  private func close(_ error: ClientError) {
    phase = .closing(error)
    timer?.cancel()
    if ended == nil { opened.fail(error) }
    channel.close(promise: nil)
  }
}
