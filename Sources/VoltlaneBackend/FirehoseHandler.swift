import NIOCore
import VoltlaneNIO
import VoltlaneText
import VoltlaneWire

/// One firehose connection: it cuts the stream into events once it is current. While it waits it reads up to its first
/// whole packet, to learn whether a relay is there and has something to say.
final class FirehoseHandler: ChannelInboundHandler {
  typealias InboundIn = ByteBuffer

  private enum Phase {
    case waiting
    case current(Firehose)
    case ended
  }

  let outbox: Outbox
  let channel: any Channel
  /// Bytes that have arrived from the relay.
  private(set) var byteCount = 0
  /// A whole tagged packet has arrived.
  private(set) var hasSpoken = false
  let remoteAddress: Endpoint?
  /// A warning that it is waiting was given.
  var isWarnedOf = false

  private let intake: Intake
  private var splitter: PacketSplitter
  private var phase = Phase.waiting
  /// Every packet so far was a reconnection.
  private var isAnnouncing = true
  /// The client named last, while sessions are being announced.
  private var announced: UInt64?
  private var arrivals: ArrivalClock
  /// The first cause of the end.
  private var ending: FirehoseEnding?
  private var isOpen = true

  init(channel: any Channel, intake: Intake, maxPacketSize: Int) {
    self.channel = channel
    self.intake = intake
    outbox = Outbox(channel: channel, limit: BackendLimits.queue)
    splitter = PacketSplitter(maximum: maxPacketSize + Wire.tag)
    remoteAddress = Endpoint(channel.remoteAddress)
    arrivals = ArrivalClock(resolution: intake.stopResolution, now: .now())
    // It may have to wait for its turn.
    arrivals.pause(.now())
  }

  // MARK: From the intake

  /// The connection, if it is current.
  var firehose: Firehose? { if case .current(let firehose) = phase { firehose } else { nil } }

  func tick() {
    arrivals.tick(.now())
  }

  func begin(number: Int) {
    let firehose = Firehose(number: number, remoteAddress: remoteAddress)
    phase = .current(firehose)
    intake.emit([.connected(firehose)])
    deliver(arrival: arrivals.read(.now(), isAll: !hasSpoken))
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
    byteCount += read.readableBytes
    splitter.append(read)
    switch phase {
    // A read that leaves room has taken everything there was.
    case .current: deliver(arrival: arrivals.read(.now(), isAll: read.writableBytes > 0))
    case .waiting: if !hasSpoken { listen() }
    case .ended: break
    }
  }

  func channelReadComplete(context: ChannelHandlerContext) {
    switch phase {
    case .current: readIfRoom()
    case .waiting: if !hasSpoken && ending == nil { channel.read() }
    case .ended: break
    }
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    close(.lost(describe(error)))
  }

  func channelInactive(context: ChannelHandlerContext) {
    isOpen = false
    outbox.close()
    switch phase {
    case .current: end()
    // What it sent is still read when its turn comes.
    case .waiting where hasSpoken && !isDiscarded: break
    case .waiting, .ended: intake.ended(self)
    }
  }

  // MARK: -

  private var isDiscarded: Bool { ending == .replaced || ending == .stopped }

  /// Whether the other side is a relay.
  private func listen() {
    do {
      switch try splitter.peek({ Self.refusal(of: $0) }) {
      case nil: break
      case .some(nil):
        hasSpoken = true
        intake.spoke(self)
      case .some(let refusal?): refuse("\(refusal)")
      }
    } catch {
      refuse("its first packet has \(error.size) bytes; at most \(error.maximum) are allowed")
    }
  }

  private static func refusal(of packet: RawSpan) -> TaggedPacketError? {
    do {
      _ = try Tag.decode(packet, from: .relay)
      return nil
    } catch .unknownFlag(ExtensionFlag.away.rawValue), .unknownFlag(ExtensionFlag.address.rawValue) {
      return nil
    } catch {
      return error
    }
  }

  private func refuse(_ reason: String) {
    intake.warn(.strayConnection(from: remoteAddress, reason: reason))
    close(.stopped)
  }

  private func end() {
    guard case .current(let firehose) = phase else { return }
    phase = .ended
    let lost = outbox.failure.map { FirehoseEnding.lost(describe($0)) }
    intake.emit([.disconnected(firehose, ending ?? lost ?? .closed)])
    intake.ended(self)
  }

  private func readIfRoom() {
    if intake.inbox.hasRoom() { channel.read() } else { arrivals.pause(.now()) }
  }

  private func deliver(arrival: NIODeadline) {
    var events: [(element: BackendEvent, cost: Int)] = []
    do {
      while let packet = try splitter.next() {
        guard let event = event(packet) else { continue }
        hasSpoken = true
        endAnnouncement(before: event, &events)
        events.append((event, event.cost))
      }
      intake.put(events, arrival: arrival)
    } catch {
      intake.put(events, arrival: arrival)
      close(.oversizedPacket(size: error.size, maximum: error.maximum))
    }
  }

  private func endAnnouncement(
    before event: BackendEvent, _ events: inout [(element: BackendEvent, cost: Int)]
  ) {
    guard isAnnouncing, case .current(let firehose) = phase else { return }
    switch event {
    case .reconnection(let id):
      announced = id
      return
    // These belong to the reconnection before them.
    case .away(let id) where id == announced: return
    case .address(let id, _) where id == announced: return
    case .connected, .announced, .disconnected, .data, .failure, .away, .address, .warning, .refusedPacket: break
    }
    isAnnouncing = false
    events.append((.announced(firehose), BackendEvent.announced(firehose).cost))
  }

  /// nil if it is not reported.
  private func event(_ packet: ByteBuffer) -> BackendEvent? {
    var data = packet
    do throws(TaggedPacketError) {
      let tag = try Tag.decode(packet.readableBytesSpan, from: .relay)
      data.moveReaderIndex(forwardBy: Wire.tag)
      switch tag.flag {
      case .data: return .data(clientID: tag.clientID, data)
      case .failure:
        let reason = String(buffer: data)
        return intake.isNews(tag.clientID, reason) ? .failure(clientID: tag.clientID, reason: reason) : nil
      case .reconnection: return .reconnection(clientID: tag.clientID)
      // `Tag` rejects it from a relay. If one slips through all the same, it must not be treated as data.
      case .kick: throw .wrongDirection(.kick)
      }
    } catch {
      if let event = Self.extensionEvent(packet) { return event }
      intake.refused.increment()
      return .refusedPacket(error)
    }
  }

  /// What a packet with an extension flag says; nil if it is malformed, or not one that a relay sends.
  private static func extensionEvent(_ packet: ByteBuffer) -> BackendEvent? {
    var data = packet
    guard let id = data.readInteger(endianness: .little, as: UInt64.self),
      let flag = data.readInteger(as: UInt8.self).flatMap(ExtensionFlag.init(rawValue:))
    else { return nil }
    switch flag {
    case .away: return .away(clientID: id)
    case .address: return PeerAddress(data.readableBytesSpan).map { .address(clientID: id, Endpoint($0)) }
    case .volatile, .multicast: return nil
    }
  }
}

extension Endpoint {
  /// nil if the relay does not know.
  fileprivate init?(_ address: PeerAddress) {
    let (bytes, port): ([UInt8], UInt16)
    switch address {
    case .v4(let four, let number): (bytes, port) = (four, number)
    case .v6(let sixteen, let number): (bytes, port) = (sixteen, number)
    case .unknown: return nil
    }
    self.init(try? SocketAddress(packedIPAddress: ByteBuffer(bytes: bytes), port: Int(port)))
  }
}
