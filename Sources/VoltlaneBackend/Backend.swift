import NIOCore
import NIOPosix
import Synchronization
import VoltlaneNIO
@_exported import VoltlaneText
import VoltlaneWire

/// The backend of a relay: it accepts the relay's firehose connections, one after the other, and speaks with all of the
/// relay's clients over the one that is current.
///
///     let backend = try await Backend.listen(on: .tcp(host: "127.0.0.1", port: 42001))
///     for await event in backend.events {
///       switch event {
///       case .data(let id, let packet): try? await backend.send(packet, to: id)
///       case .failure(let id, let reason): print("client \(id) is gone: \(reason)")
///       default: break
///       }
///     }
///
/// **Which connection.** A client id belongs to the connection that last named it. One connection is read at a time,
/// the current one, and everything is sent on it. One that is accepted meanwhile waits; once it has sent its first
/// bytes the current one is finished: it is read to its end, or discarded when it has brought nothing for a second.
/// Only then the new one is read and becomes current. So packets of one client are never overtaken by later ones, and
/// a connection that says nothing (a port scanner, a health check) takes nothing over. It follows that a backend
/// serves one relay.
///
/// **When a connection is lost** the relay dials again, within seconds, and its clients stay. The backend keeps
/// listening; ``events`` reports the end and the next connection, and then which sessions are alive: see
/// <doc:Table-of-clients>. In between, sending throws ``BackendError/notConnected``. What either side had sent and the
/// other had not yet read may be lost with the connection; the protocol has no acknowledgement.
///
/// **Bounds.** While 4 MiB of events wait to be taken, the connection is not read, and TCP slows the relay. While 4 MiB
/// of packets wait to be sent, ``send(_:to:)-(ByteBuffer,_)`` waits. Neither waits for the other, and a relay keeps
/// reading the firehose while it writes, so a consumer that answers each event before it takes the next cannot
/// deadlock. (Once a relay has closed its side, whatever the kernel had already received is read at once, even above
/// the limit: at most the socket's receive buffer.)
public final class Backend: Sendable {
  /// What the relay says. Its iterators share one queue.
  public let events: BackendEvents

  /// The same events, all that wait at a time.
  public let batches: BackendBatches

  private let listener: Listener
  private let intake: Intake
  private let maxPacketSize: Int

  private init(listener: Listener, intake: Intake, maxPacketSize: Int) {
    self.listener = listener
    self.intake = intake
    self.maxPacketSize = maxPacketSize
    events = BackendEvents(inbox: intake.inbox)
    batches = BackendBatches(inbox: intake.inbox)
  }

  /// Starts to listen. Returns once connections are accepted.
  ///
  /// - Parameters:
  ///   - endpoint: Port 0 takes any free port; see ``address``. The file of a unix socket on which nobody listens any
  ///     more is replaced.
  ///   - maxPacketSize: The relay's `max-packet-size`, in bytes, without the tag.
  ///   - group: The threads to run on; it uses one of them.
  public static func listen(
    on endpoint: Endpoint,
    maxPacketSize: Int = Wire.defaultMaxPacketSize,
    group: any EventLoopGroup = .singletonMultiThreadedEventLoopGroup
  ) async throws(BackendError) -> Backend {
    try await listen(on: endpoint, maxPacketSize: maxPacketSize, group: group, finishing: BackendLimits.finishing)
  }

  /// `finishing` is how long an old connection may bring nothing once a newer one has sent something.
  static func listen(
    on endpoint: Endpoint, maxPacketSize: Int, group: any EventLoopGroup, finishing: TimeAmount
  ) async throws(BackendError) -> Backend {
    precondition(Wire.maxPacketSizes.contains(maxPacketSize), "no size for packets")
    let loop = group.next()
    let intake = Intake(loop: loop, finishing: finishing)
    let listener = try await Listener.start(on: endpoint, loop: loop) { channel in
      let handler = FirehoseHandler(channel: channel, intake: intake, maxPacketSize: maxPacketSize)
      try channel.pipeline.syncOperations.addHandler(handler)
    }
    return Backend(listener: listener, intake: intake, maxPacketSize: maxPacketSize)
  }

  /// Where it listens, with the port that it got.
  public var address: Endpoint { listener.address }

  /// How many tagged packets were skipped; each is also an event.
  public var refusedPacketCount: Int { intake.refused.value }

  /// Queues a packet for a client, and returns once it is queued; waits where too much is queued already.
  ///
  /// The relay answers a packet for an id that is not a session with a failure, `unknown client`. It keeps packets for a
  /// client that is away, within its `missed-packets-buffer`.
  ///
  /// Throws ``BackendError/notConnected`` while no relay is connected: the packet was dropped, and may be sent again
  /// after ``BackendEvent/connected(_:)``.
  public nonisolated(nonsending) func send(_ data: ByteBuffer, to id: UInt64) async throws(BackendError) {
    guard data.readableBytes <= maxPacketSize else {
      throw .packetTooLarge(size: data.readableBytes, maximum: maxPacketSize)
    }
    try await send(Tag(clientID: id, flag: .data), data)
  }

  /// Queues a packet for a client, as the function above does.
  public nonisolated(nonsending) func send(_ bytes: some Collection<UInt8>, to id: UInt64) async throws(BackendError) {
    try await send(ByteBuffer(bytes: bytes), to: id)
  }

  /// Ends a client's session for good. What was sent to it before is still delivered; a client that is away loses it.
  /// The end comes as an event, with the reason `kicked`, after packets that the relay had already taken from it.
  public nonisolated(nonsending) func kick(_ id: UInt64) async throws(BackendError) {
    try await send(Tag(clientID: id, flag: .kick), ByteBuffer())
  }

  /// Stops to listen and closes every connection; ``events`` ends after what it holds. Stopping twice does nothing
  /// more.
  public func stop() async {
    await intake.stop()
    await listener.stop()
  }

  private nonisolated(nonsending) func send(_ tag: Tag, _ data: ByteBuffer) async throws(BackendError) {
    guard let outbox = intake.outbox else { throw .notConnected }
    do {
      try await outbox.send(
        header: { header in
          header.writeInteger(UInt32(Wire.tag + data.readableBytes), endianness: .little)
          header.writeInteger(tag.clientID, endianness: .little)
          header.writeInteger(tag.flag.rawValue)
        }, data: data)
    } catch {
      switch error {
      case .closed: throw .notConnected
      case .cancelled: throw .cancelled
      }
    }
  }
}
