import NIOCore
import NIOHTTP1

/// How much a connection has sent since its last answer. Used on the endpoint's one thread only.
final class UnansweredBytes {
  var count = 0
}

/// Ends a connection that sends more than requests: a head that never ends, or requests without waiting for answers.
final class AdminInputGuard: ChannelInboundHandler {
  typealias InboundIn = ByteBuffer
  typealias InboundOut = ByteBuffer

  private let quota: UnansweredBytes

  init(_ quota: UnansweredBytes) { self.quota = quota }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    quota.count += unwrapInboundIn(data).readableBytes
    guard quota.count <= AdminLimits.unanswered else { return context.close(promise: nil) }
    context.fireChannelRead(data)
  }
}

/// One connection of the admin endpoint: one request at a time, each within its time.
final class AdminHandler: ChannelInboundHandler {
  typealias InboundIn = HTTPServerRequestPart
  typealias OutboundOut = HTTPServerResponsePart

  private let pages: AdminPages
  private let visitors: AdminVisitors
  private let quota: UnansweredBytes
  private let ownName: String?
  private let isLocalSocket: Bool
  /// The request whose head has come.
  private var head: HTTPRequestHead?
  /// Ends the connection if what is waited for does not happen.
  private var timer: Scheduled<Void>?
  private var isClosing = false

  init(
    _ pages: AdminPages, _ visitors: AdminVisitors, _ quota: UnansweredBytes, ownName: String?, isLocalSocket: Bool
  ) {
    self.pages = pages
    self.visitors = visitors
    self.quota = quota
    self.ownName = ownName
    self.isLocalSocket = isLocalSocket
  }

  func handlerAdded(context: ChannelHandlerContext) { wait(AdminLimits.requestSeconds, context) }

  func channelInactive(context: ChannelHandlerContext) {
    timer?.cancel()
    visitors.leave(context.channel)
    context.fireChannelInactive()
  }

  func handlerRemoved(context: ChannelHandlerContext) {
    timer?.cancel()
    visitors.leave(context.channel)
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }

  private func wait(_ seconds: Int64, _ context: ChannelHandlerContext) {
    timer?.cancel()
    let (channel, desk) = (context.channel, visitors.desk)
    timer = context.eventLoop.scheduleTask(in: .seconds(seconds)) {
      desk.count(.late)
      channel.close(promise: nil)
    }
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    guard !isClosing else { return }
    switch unwrapInboundIn(data) {
    case .head(let head): self.head = head
    case .body:
      // Its head is refused already, or has no length.
      break
    case .end:
      guard let head else { return }
      self.head = nil
      answer(head, context)
    }
    // A body is not waited for.
    if let head, !head.isBodiless {
      self.head = nil
      answer(head, context)
    }
  }

  private func answer(_ head: HTTPRequestHead, _ context: ChannelHandlerContext) {
    wait(AdminLimits.answerSeconds, context)
    visitors.note(context.channel, isBusy: true)
    let request: AdminRequest
    do throws(AdminRequest.Refused) {
      request = try AdminRequest(head, ownName: ownName, isLocalSocket: isLocalSocket)
    } catch {
      visitors.desk.count(.refused)
      var response = AdminResponse.text(error.reason, status: error.status)
      if error.status == .methodNotAllowed { response.headers.append(("Allow", "GET, HEAD")) }
      return send(response, isHead: head.method == .HEAD, isLast: true, context)
    }
    let bound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
    let loop = context.eventLoop
    pages.answer(request) { response in
      loop.execute {
        let (handler, context) = bound.value
        guard context.channel.isActive else { return }
        let response = response()
        handler.visitors.desk.count(response.status == .ok ? .answered : .failed)
        handler.send(response, isHead: request.isHead, isLast: !head.isKeepAlive, context)
      }
    }
  }

  /// Sends an answer. The next request is read once this one's client has taken it: whoever asks and does not read gets
  /// no second answer.
  private func send(_ response: AdminResponse, isHead: Bool, isLast: Bool, _ context: ChannelHandlerContext) {
    isClosing = isLast
    let head = HTTPResponseHead(version: .http1_1, status: response.status, headers: response.fields(isLast: isLast))
    context.write(wrapOutboundOut(.head(head)), promise: nil)
    if !isHead {
      context.write(
        wrapOutboundOut(.body(.byteBuffer(context.channel.allocator.buffer(string: response.body)))), promise: nil)
    }
    let bound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
    let sent = context.eventLoop.makePromise(of: Void.self)
    sent.futureResult.whenComplete { result in
      let (handler, context) = bound.value
      guard case .success = result, context.channel.isActive else { return context.close(promise: nil) }
      handler.finish(isLast: isLast, context)
    }
    // Nothing but the end is left, which takes no bytes.
    context.writeAndFlush(wrapOutboundOut(.body(.byteBuffer(ByteBuffer()))), promise: sent)
  }

  private func finish(isLast: Bool, _ context: ChannelHandlerContext) {
    quota.count = 0
    visitors.note(context.channel, isBusy: false)
    context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)
    if isLast {
      // What is unread would turn the close into a reset, which may overtake the answer: the client closes, or its time
      // is over.
      context.close(mode: .output, promise: nil)
      wait(AdminLimits.requestSeconds, context)
    } else {
      wait(AdminLimits.idleSeconds, context)
    }
  }
}

extension HTTPRequestHead {
  /// Whether nothing follows the head.
  fileprivate var isBodiless: Bool {
    headers["transfer-encoding"].isEmpty && headers["content-length"].allSatisfy { $0 == "0" }
  }
}
