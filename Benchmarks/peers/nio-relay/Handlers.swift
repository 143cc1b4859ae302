import NIOCore
import VoltlaneWire

/// Cuts size-prefixed packets from what was read.
struct Splitter {
  private var unread = ByteBuffer()

  mutating func append(_ read: ByteBuffer) {
    guard unread.readableBytes > 0 else {
      unread = read
      return
    }
    unread.writeImmutableBuffer(read)
  }

  mutating func next() -> ByteBuffer? {
    guard let size = unread.getInteger(at: unread.readerIndex, endianness: .little, as: UInt32.self),
      unread.readableBytes >= Wire.sizePrefix + Int(size)
    else { return nil }
    unread.moveReaderIndex(forwardBy: Wire.sizePrefix)
    return unread.readSlice(length: Int(size))
  }
}

/// A client: its handshake, then its packets.
final class ClientHandler: ChannelInboundHandler {
  typealias InboundIn = ByteBuffer

  /// A valid point: the generator of the curve.
  private static let key: [UInt8] = [
    0x02, 0x79, 0xbe, 0x66, 0x7e, 0xf9, 0xdc, 0xbb, 0xac, 0x55, 0xa0, 0x62, 0x95, 0xce, 0x87, 0x0b, 0x07, 0x02, 0x9b,
    0xfc, 0xdb, 0x2d, 0xce, 0x28, 0xd9, 0x59, 0xf2, 0x81, 0x5b, 0x16, 0xf8, 0x17, 0x98,
  ]

  private let relay: Relay
  private var splitter = Splitter()
  private var context: ChannelHandlerContext?
  private var id: UInt64?
  private var output = ByteBuffer()

  init(_ relay: Relay) {
    self.relay = relay
  }

  func handlerAdded(context: ChannelHandlerContext) { self.context = context }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    splitter.append(unwrapInboundIn(data))
    while let packet = splitter.next() {
      if let id {
        relay.append(id, .data, packet)
      } else {
        shakeHands(context, packet)
      }
    }
  }

  private func shakeHands(_ context: ChannelHandlerContext, _ packet: ByteBuffer) {
    var answer: [UInt8]
    switch try? HandshakePacket.decode(packet.readableBytesSpan) {
    case .protocolVersion(Wire.protocolVersion):
      answer = FramedHandshakePacket.publicKey(Self.key.span.bytes).bytes
    case .publicKey:
      let id = relay.add(self)
      self.id = id
      answer = FramedHandshakePacket.clientID(id).bytes
    default: return context.close(promise: nil)
    }
    context.writeAndFlush(NIOAny(ByteBuffer(bytes: answer)), promise: nil)
  }

  func channelInactive(context: ChannelHandlerContext) {
    self.context = nil
    if let id { relay.remove(id) }
  }

  func errorCaught(context: ChannelHandlerContext, error: Error) { context.close(promise: nil) }

  /// Whether this is the first packet since the last flush.
  func append(_ data: ByteBuffer) -> Bool {
    let isFirst = output.readableBytes == 0
    output.writeInteger(UInt32(data.readableBytes), endianness: .little)
    output.writeImmutableBuffer(data)
    return isFirst
  }

  func flush() {
    context?.writeAndFlush(NIOAny(output), promise: nil)
    output = ByteBuffer()
  }
}

/// The connection to the backend.
final class FirehoseHandler: ChannelInboundHandler {
  typealias InboundIn = ByteBuffer

  private let relay: Relay
  private var splitter = Splitter()

  init(_ relay: Relay) {
    self.relay = relay
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    splitter.append(unwrapInboundIn(data))
    while var packet = splitter.next() {
      guard let id = packet.readInteger(endianness: .little, as: UInt64.self), packet.readInteger(as: UInt8.self) == 0
      else { continue }
      relay.deliver(id, packet)
    }
  }

  func errorCaught(context: ChannelHandlerContext, error: Error) { context.close(promise: nil) }
}
