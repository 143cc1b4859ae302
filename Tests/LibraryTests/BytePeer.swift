import NIOCore
import NIOPosix
import Synchronization
import VoltlaneNIO
import VoltlaneText

/// The other side of a connection, played byte by byte: it reads only while the test asks for bytes.
final class BytePeer: Sendable {
  let channel: any Channel
  private let inbox: Inbox<ByteBuffer, Never>
  private let unread = Mutex(ByteBuffer())
  private let reader: Reader

  fileprivate init(_ channel: any Channel) throws {
    self.channel = channel
    let inbox = Inbox<ByteBuffer, Never>(limit: 1) { channel.eventLoop.execute { channel.read() } }
    self.inbox = inbox
    reader = Reader(inbox)
    try channel.pipeline.syncOperations.addHandler(reader)
  }

  static func connect(to endpoint: Endpoint) async throws -> BytePeer {
    let made = Mutex<BytePeer?>(nil)
    _ = try await ClientBootstrap(group: .singletonMultiThreadedEventLoopGroup)
      .channelOption(.autoRead, value: false)
      .channelOption(.allowRemoteHalfClosure, value: true)
      .channelInitializer { channel in
        channel.eventLoop.makeCompletedFuture {
          let peer = try BytePeer(channel)
          made.withLock { $0 = peer }
        }
      }
      .connect(to: endpoint).get()
    return made.withLock { $0! }
  }

  func write(_ bytes: [UInt8]) async throws {
    try await channel.writeAndFlush(ByteBuffer(bytes: bytes))
  }

  /// One system call a byte, so that the other side may read at every place.
  func writeByteByByte(_ bytes: [UInt8]) async throws {
    for byte in bytes { try await write([byte]) }
  }

  /// The next `count` bytes; fewer where the stream ends before.
  func read(_ count: Int) async -> [UInt8] {
    while unread.withLock({ $0.readableBytes }) < count, let more = await inbox.next() {
      unread.withLock { _ = $0.writeImmutableBuffer(more) }
    }
    return unread.withLock { buffer in
      let bytes = buffer.readBytes(length: min(count, buffer.readableBytes)) ?? []
      buffer.discardReadBytes()
      return bytes
    }
  }

  /// The other side has shut its sending side down, as opposed to a reset.
  var isFinished: Bool { reader.isFinished.load(ordering: .relaxed) }

  /// What has come, or comes next; nil at the end of the stream.
  func readSome() async -> [UInt8]? {
    let first = await read(1)
    guard !first.isEmpty else { return nil }
    return first + unread.withLock { $0.readBytes(length: $0.readableBytes) ?? [] }
  }

  /// Everything up to the end of the stream.
  func readToEnd() async -> [UInt8] {
    await read(.max)
  }

  /// The data of the next size-prefixed packet; nil at the end.
  func readPacket() async -> [UInt8]? {
    let prefix = await read(4)
    guard prefix.count == 4 else { return nil }
    let size = prefix.reversed().reduce(0) { $0 << 8 | Int($1) }
    return await read(size)
  }

  /// Shuts the sending side down.
  func finish() async throws {
    try await channel.close(mode: .output)
  }

  func close() async {
    try? await channel.close()
  }

  /// Ends the connection with a reset.
  func reset() async throws {
    guard let socket = channel as? any SocketOptionProvider else { throw ChannelError.operationUnsupported }
    try await socket.setSoLinger(linger(l_onoff: 1, l_linger: 0)).get()
    await close()
  }

  private final class Reader: ChannelInboundHandler, Sendable {
    typealias InboundIn = ByteBuffer
    let inbox: Inbox<ByteBuffer, Never>
    let isFinished = Atomic(false)

    init(_ inbox: Inbox<ByteBuffer, Never>) {
      self.inbox = inbox
    }

    func channelActive(context: ChannelHandlerContext) { context.read() }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
      let buffer = unwrapInboundIn(data)
      inbox.append([(buffer, buffer.readableBytes)])
    }

    func channelReadComplete(context: ChannelHandlerContext) {
      if inbox.hasRoom() { context.read() }
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
      guard case ChannelEvent.inputClosed = event else { return }
      isFinished.store(true, ordering: .relaxed)
      inbox.finish()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
    func channelInactive(context: ChannelHandlerContext) { inbox.finish() }
  }
}

/// Accepts ``BytePeer``s.
final class ByteListener: Sendable {
  let endpoint: Endpoint
  private let channel: any Channel
  private let accepted: Inbox<BytePeer, Never>

  private init(endpoint: Endpoint, channel: any Channel, accepted: Inbox<BytePeer, Never>) {
    self.endpoint = endpoint
    self.channel = channel
    self.accepted = accepted
  }

  static func start(on endpoint: Endpoint = .tcp(host: "127.0.0.1", port: 0)) async throws -> ByteListener {
    let loop = MultiThreadedEventLoopGroup.singleton.next()
    let accepted = Inbox<BytePeer, Never>(limit: .max) {}
    let channel = try await ServerBootstrap(group: loop)
      .childChannelOption(.autoRead, value: false)
      .childChannelOption(.allowRemoteHalfClosure, value: true)
      .childChannelInitializer { channel in
        channel.eventLoop.makeCompletedFuture {
          accepted.append([(try BytePeer(channel), 0)])
        }
      }
      .listen(on: endpoint, loop: loop)
    return ByteListener(endpoint: Endpoint(channel.localAddress) ?? endpoint, channel: channel, accepted: accepted)
  }

  func accept() async -> BytePeer {
    await accepted.next()!
  }

  func stop() async {
    try? await channel.close()
  }
}
