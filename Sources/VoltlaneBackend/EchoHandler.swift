import NIOCore
import VoltlaneNIO
import VoltlaneWire

/// Echoes one firehose connection.
///
/// The echo of a data packet is exactly the same bytes, tag and size included. So whole runs of data packets go back as
/// slices of the read buffer, with one flush per read: no packet is decoded, copied or allocated.
///
/// It does not read while the channel is not writable, so it holds at most the channel's water mark, one read and one
/// unfinished packet. This cannot deadlock: a relay never stops reading the firehose while it waits to write.
final class EchoHandler: ChannelInboundHandler {
  typealias InboundIn = ByteBuffer
  typealias OutboundOut = ByteBuffer

  private var splitter: PacketSplitter
  private let refused: Counter
  private var isReading = false

  init(maxPacketSize: Int, refused: Counter) {
    splitter = PacketSplitter(maximum: maxPacketSize + Wire.tag)
    self.refused = refused
  }

  func channelActive(context: ChannelHandlerContext) {
    readIfWritable(context)
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    splitter.append(unwrapInboundIn(data))
    do {
      while let run = try splitter.nextRun(where: isData) { context.write(wrapOutboundOut(run), promise: nil) }
    } catch {
      // The stream can no longer be trusted: the connection is dropped.
      context.flush()
      context.close(promise: nil)
    }
  }

  func channelReadComplete(context: ChannelHandlerContext) {
    isReading = false
    context.flush()
    readIfWritable(context)
  }

  func channelWritabilityChanged(context: ChannelHandlerContext) {
    readIfWritable(context)
  }

  /// The relay has sent everything: what is still to be written is sent before the close.
  func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
    guard case ChannelEvent.inputClosed = event else { return context.fireUserInboundEventTriggered(event) }
    let channel = context.channel
    context.writeAndFlush(wrapOutboundOut(ByteBuffer())).whenComplete { _ in channel.close(promise: nil) }
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    context.close(promise: nil)
  }

  private func readIfWritable(_ context: ChannelHandlerContext) {
    guard !isReading, context.channel.isWritable else { return }
    isReading = true
    context.read()
  }

  private func isData(_ packet: RawSpan) -> Bool {
    do {
      switch try Tag.decode(packet, from: .relay).flag {
      case .data: return true
      case .failure, .reconnection: return false
      // `Tag` rejects it from a relay; if one slips through, it is not echoed.
      case .kick: return false
      }
    } catch {
      refused.increment()
      return false
    }
  }
}
