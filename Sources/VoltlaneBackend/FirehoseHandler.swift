import NIOCore
import VoltlaneNIO
import VoltlaneText
import VoltlaneWire

/// One firehose connection: it cuts the stream into events once it is current. While it waits it reads once, to learn
/// whether the relay has something to say.
final class FirehoseHandler: ChannelInboundHandler {
  typealias InboundIn = ByteBuffer

  private enum Phase {
    case waiting
    case current(Firehose)
    case ended
  }

  let outbox: Outbox
  let channel: any Channel
  /// Bytes that have come from the relay.
  private(set) var byteCount = 0
  var hasSpoken: Bool { byteCount > 0 }

  private let intake: Intake
  private var splitter: PacketSplitter
  private var phase = Phase.waiting
  /// Everything so far was a reconnection.
  private var isAnnouncing = true
  /// The first cause of the end.
  private var ending: FirehoseEnding?
  private var isOpen = true

  init(channel: any Channel, intake: Intake, maxPacketSize: Int) {
    self.channel = channel
    self.intake = intake
    outbox = Outbox(channel: channel, limit: BackendLimits.queue)
    splitter = PacketSplitter(maximum: maxPacketSize + Wire.tag)
  }

  // MARK: From the intake

  func begin(number: Int) {
    let firehose = Firehose(number: number, remoteAddress: Endpoint(channel.remoteAddress))
    phase = .current(firehose)
    intake.emit([.connected(firehose)])
    deliver()
    if isOpen { readIfRoom() } else { end() }
  }

  func read() {
    channel.read()
  }

  func close(_ ending: FirehoseEnding) {
    self.ending = self.ending ?? ending
    if isOpen {
      channel.close(promise: nil)
    } else if case .waiting = phase {
      intake.ended(self)
    }
  }

  // MARK: From the channel

  func channelActive(context: ChannelHandlerContext) {
    intake.accepted(self)
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    let read = unwrapInboundIn(data)
    let isFirst = !hasSpoken
    byteCount += read.readableBytes
    splitter.append(read)
    switch phase {
    case .current:
      deliver()
    case .waiting:
      if isFirst { intake.spoke() }
    case .ended:
      break
    }
  }

  func channelReadComplete(context: ChannelHandlerContext) {
    if case .current = phase { readIfRoom() }
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    close(.lost(describe(error)))
  }

  func channelInactive(context: ChannelHandlerContext) {
    isOpen = false
    outbox.close()
    switch phase {
    case .current: end()
    // What it said is still read when its turn comes.
    case .waiting where hasSpoken && !isDiscarded: break
    case .waiting, .ended: intake.ended(self)
    }
  }

  // MARK: -

  private var isDiscarded: Bool { ending == .replaced || ending == .stopped }

  private func end() {
    guard case .current(let firehose) = phase else { return }
    phase = .ended
    let lost = outbox.failure.map { FirehoseEnding.lost(describe($0)) }
    intake.emit([.disconnected(firehose, ending ?? lost ?? .closed)])
    intake.ended(self)
  }

  private func readIfRoom() {
    if intake.inbox.hasRoom() { channel.read() }
  }

  private func deliver() {
    var events: [BackendEvent] = []
    do {
      while let packet = try splitter.next() {
        guard let event = event(packet) else {
          intake.emit(events)
          return close(.lost("the relay sent a packet that only a backend sends"))
        }
        endAnnouncement(before: event, &events)
        events.append(event)
      }
      intake.emit(events)
    } catch {
      intake.emit(events)
      close(.oversizedPacket(size: error.size, maximum: error.maximum))
    }
  }

  private func endAnnouncement(before event: BackendEvent, _ events: inout [BackendEvent]) {
    guard isAnnouncing, case .current(let firehose) = phase else { return }
    if case .reconnection = event { return }
    isAnnouncing = false
    events.append(.announced(firehose))
  }

  /// What a packet says; nil where nothing of it can be trusted.
  private func event(_ packet: ByteBuffer) -> BackendEvent? {
    do {
      let tag = try Tag.decode(packet.readableBytesSpan, from: .relay)
      var data = packet
      data.moveReaderIndex(forwardBy: Wire.tag)
      switch tag.flag {
      case .failure: return .failure(clientID: tag.clientID, reason: String(buffer: data))
      case .reconnection: return .reconnection(clientID: tag.clientID)
      case .data: return .data(clientID: tag.clientID, data)
      // `Tag` refuses it as coming from a relay. If one slips through, it must not pass for data.
      case .kick: return nil
      }
    } catch {
      intake.refused.increment()
      return .refusedPacket(error)
    }
  }
}
