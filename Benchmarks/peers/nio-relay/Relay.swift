import NIOCore
import NIOPosix
import VoltlaneWire

/// What clients and firehose share. Unchecked, because all of it runs on the one event loop.
final class Relay: @unchecked Sendable {
  static let sizePrefix = Wire.sizePrefix
  private static let readSize = 256 * 1024

  private let loop: EventLoop
  /// The data bytes of a packet, where each is read and written by itself.
  private let singleSize: Int?
  private let congestionControl: String?
  private var clients: [UInt64: ClientHandler] = [:]
  private var lastID: UInt64 = 0
  private var firehose: Channel?
  /// What goes to the backend at the end of the loop's turn; and the clients that are written to then.
  private var uplink = ByteBuffer()
  private var dirty: [ClientHandler] = []
  private var willFlush = false

  init(_ loop: EventLoop, singleSize: Int?, congestionControl: String?) {
    self.loop = loop
    self.singleSize = singleSize
    self.congestionControl = congestionControl
  }

  /// Sets a socket's options; `packetSize` is what a packet has beside its data.
  func configure(_ channel: Channel, packetSize: Int) throws {
    let options = channel.syncOptions!
    try options.setOption(.tcpOption(.tcp_nodelay), value: 1)
    try options.setOption(.maxMessagesPerRead, value: 1)
    try options.setOption(
      .recvAllocator,
      value: FixedSizeRecvByteBufferAllocator(capacity: singleSize.map { $0 + packetSize } ?? Relay.readSize))
    guard let congestionControl, let sockets = channel as? SocketOptionProvider else { return }
    // The option's value is a name, which needs the eight bytes of an integer at most.
    precondition(congestionControl.utf8.count <= 8, "the names of congestion controls are short")
    var name: UInt64 = 0
    withUnsafeMutableBytes(of: &name) { $0.copyBytes(from: congestionControl.utf8) }
    sockets.unsafeSetSocketOption(level: .tcp, name: .init(rawValue: 13), value: name)
      .whenFailure { fatalError("congestion control '\(congestionControl)': \($0)") }
  }

  func dial(_ host: String, _ port: Int) {
    ClientBootstrap(group: loop)
      .channelInitializer { channel in
        channel.eventLoop.makeCompletedFuture {
          try self.configure(channel, packetSize: Wire.sizePrefix + Wire.tag)
          try channel.pipeline.syncOperations.addHandler(FirehoseHandler(self))
        }
      }
      .connect(host: host, port: port)
      .whenComplete { result in
        guard case .success(let channel) = result else {
          self.loop.scheduleTask(in: .milliseconds(50)) { self.dial(host, port) }
          return
        }
        self.firehose = channel
        channel.closeFuture.whenComplete { _ in
          self.firehose = nil
          self.dial(host, port)
        }
        self.flushSoon()
      }
  }

  // MARK: Clients

  func add(_ client: ClientHandler) -> UInt64 {
    lastID += 1
    clients[lastID] = client
    return lastID
  }

  func remove(_ id: UInt64) {
    clients[id] = nil
    append(id, .failure, ByteBuffer(string: "stale timeout"))
  }

  // MARK: Packets

  /// A packet for the backend.
  func append(_ id: UInt64, _ flag: PacketFlag, _ data: ByteBuffer) {
    uplink.writeInteger(UInt32(Wire.tag + data.readableBytes), endianness: .little)
    uplink.writeInteger(id, endianness: .little)
    uplink.writeInteger(flag.rawValue)
    uplink.writeImmutableBuffer(data)
    if singleSize != nil { flushUplink() } else { flushSoon() }
  }

  /// A packet for a client; one that has left gets nothing.
  func deliver(_ id: UInt64, _ data: ByteBuffer) {
    guard let client = clients[id] else { return }
    if client.append(data) { dirty.append(client) }
    if singleSize != nil { flush() } else { flushSoon() }
  }

  /// When every socket that is ready in this turn has been read.
  private func flushSoon() {
    guard !willFlush else { return }
    willFlush = true
    loop.execute { self.flush() }
  }

  private func flush() {
    willFlush = false
    flushUplink()
    for client in dirty { client.flush() }
    dirty.removeAll(keepingCapacity: true)
  }

  private func flushUplink() {
    guard let firehose, uplink.readableBytes > 0 else { return }
    firehose.writeAndFlush(uplink, promise: nil)
    uplink = ByteBuffer()
  }
}
