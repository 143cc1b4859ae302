import NIOCore
import VoltlaneText

/// One connection of the control socket: reads requests one after the other, and answers each before it reads the next.
final class ControlPeer: ChannelInboundHandler {
  typealias InboundIn = ByteBuffer
  typealias OutboundOut = ByteBuffer

  private let queue: ControlQueue
  private let peers: ControlPeers
  private let asker = Asker()
  private var isCounted = false
  /// Who it is has been asked, and it may ask.
  private var isOwner = false
  private var received = ByteBuffer()
  private var isAnswering = false
  /// There is a part of a request, which has to be finished in time.
  private var hasBegun = false
  private var hasEnded = false
  /// Nothing more is read or answered.
  private var isRefused = false
  private var deadline: Scheduled<Void>?

  init(_ queue: ControlQueue, _ peers: ControlPeers) {
    self.queue = queue
    self.peers = peers
  }

  func channelActive(context: ChannelHandlerContext) {
    isCounted = peers.add()
    guard isCounted else { return refuse("too many connections to the control socket", context) }
    PeerOwner.of(context.channel).assumeIsolated().whenComplete { [self] owner in
      guard case .success(let owner) = owner, owner == 0 || owner == System.user else {
        return refuse("the control socket is for the relay's user and root", context)
      }
      isOwner = true
      readOn(context)
    }
    wait(ControlLimits.silence, context)
  }

  func channelInactive(context: ChannelHandlerContext) {
    deadline?.cancel()
    asker.leave()
    if isCounted { peers.remove() }
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    guard !isRefused else { return }
    var more = unwrapInboundIn(data)
    received.writeBuffer(&more)
    // Whatever comes before the answer, it is no more than that.
    guard received.readableBytes <= ControlLimits.request else { return refuse("the request is too long", context) }
    readOn(context)
  }

  func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
    guard case ChannelEvent.inputClosed = event else { return }
    hasEnded = true
    readOn(context)
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }

  // MARK: One request after the other

  private func readOn(_ context: ChannelHandlerContext) {
    guard isOwner, !isAnswering, !isRefused else { return }
    guard let end = received.readableBytesView.firstIndex(of: UInt8(ascii: "\n")) else {
      if hasEnded { return context.close(promise: nil) }
      // A request has the time from its first byte on, however many follow.
      guard received.readableBytes > 0, !hasBegun else { return }
      hasBegun = true
      return wait(ControlLimits.patience, context)
    }
    hasBegun = false
    let bytes = received.readBytes(length: end - received.readerIndex) ?? []
    received.moveReaderIndex(forwardBy: 1)
    received.discardReadBytes()
    isAnswering = true
    deadline?.cancel()
    let request: JSON
    do throws(JSONError) {
      request = try JSON(utf8: bytes)
    } catch {
      return answer(.failure(ControlError("the request is not JSON: \(error)")), context)
    }
    let bound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
    let loop = context.eventLoop
    let asker = asker
    queue.post { control in
      control.perform(request, for: asker) { result in
        loop.execute { bound.value.0.answer(result, bound.value.1) }
      }
    }
  }

  private func answer(_ result: Result<JSON, ControlError>, _ context: ChannelHandlerContext) {
    guard context.channel.isActive else { return }
    wait(ControlLimits.patience, context)
    write(result, context).assumeIsolated().whenComplete { [self] _ in
      isAnswering = false
      wait(ControlLimits.silence, context)
      readOn(context)
    }
  }

  private func refuse(_ reason: String, _ context: ChannelHandlerContext) {
    isRefused = true
    wait(ControlLimits.patience, context)
    write(.failure(ControlError(reason)), context).assumeIsolated().whenComplete { _ in context.close(promise: nil) }
  }

  private func write(_ result: Result<JSON, ControlError>, _ context: ChannelHandlerContext) -> EventLoopFuture<Void> {
    let answer: JSON =
      switch result {
      case .success(let value): ["ok": value]
      case .failure(let error): ["error": .string(error.reason)]
      }
    return context.writeAndFlush(wrapOutboundOut(ByteBuffer(string: "\(answer)\n")))
  }

  /// From now on it has this much time.
  private func wait(_ time: TimeAmount, _ context: ChannelHandlerContext) {
    deadline?.cancel()
    deadline = context.eventLoop.assumeIsolated().scheduleTask(in: time) { context.close(promise: nil) }
  }
}

/// Why something that was asked for was not done.
struct ControlError: Error, Equatable {
  let reason: String

  init(_ reason: String) { self.reason = reason }
}
