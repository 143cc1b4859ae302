import NIOCore
import NIOPosix
import Synchronization
import VoltlaneNIO
@_exported import VoltlaneText
import VoltlaneWire

/// The backend of a relay: it accepts the relay's firehose connections, one after the other, and talks to all of the
/// relay's clients over the current one.
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
/// the current one, and everything is sent on it. A connection that is accepted meanwhile waits. Once it has sent a
/// whole tagged packet, the current one is finished: it is read to its end, or discarded when it has brought nothing
/// for a second. Only then is the new one read and becomes current. So no packet of a client overtakes an earlier one,
/// and a connection that sends nothing, or something else (a port scanner, a health check, a browser), does not take
/// over: ``BackendEvent/warning(_:)`` reports it. It follows that a backend serves one relay.
///
/// **Speed.** Taking a waiting event, and sending while there is room, happen on the caller's thread without a
/// suspension, so a loop on the main actor is as fast as any other. It is still one thread: a loop that is always busy
/// lets nothing else on its actor run.
///
/// **When a connection is lost** the relay dials again, within seconds, and its clients stay. The backend keeps
/// listening; ``events`` reports the end and the next connection, and then which sessions are alive: see
/// <doc:Table-of-clients>. In between, sending throws ``BackendError/notConnected``. What either side had sent and the
/// other had not yet read may be lost with the connection; the protocol has no acknowledgement.
///
/// **Bounds.** While 4 MiB of events are waiting to be taken, the connection is not read, and TCP slows the relay.
/// While 4 MiB of packets are waiting to be sent, ``send(_:to:_:)-(ByteBuffer,_,_)`` waits. Neither waits for the
/// other, and a relay keeps reading the firehose while it writes, so a consumer that answers each event before it takes
/// the next one cannot deadlock. (Once a relay has closed its side, whatever the kernel had already received is read at
/// once, even above the limit: at most the socket's receive buffer.)
public final class Backend: Sendable {
  /// What the relay says. Its iterators share one queue.
  public let events: BackendEvents

  /// The same events in batches: all that are waiting at a time.
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

  /// Starts listening. Returns once connections are accepted.
  ///
  /// - Parameters:
  ///   - endpoint: Port 0 takes any free port; see ``address``. A unix socket's file is replaced if nobody listens on
  ///     it any more.
  ///   - maxPacketSize: The relay's `max-packet-size`, in bytes, without the tag.
  ///   - stopResolution: How precisely the backend notices that its process was stopped, or its machine was asleep, for
  ///     ``BackendBatch/age`` and ``oldestEventAge``: a timer runs that often. nil: it does not notice, and whatever
  ///     arrived meanwhile looks new. At least a millisecond.
  ///   - group: The threads to run on; it uses one of them.
  ///
  /// Throws ``BackendError/cannotListen(_:reason:)``.
  public static func listen(
    on endpoint: Endpoint,
    maxPacketSize: Int = Wire.defaultMaxPacketSize,
    stopResolution: Duration? = nil,
    group: any EventLoopGroup = .singletonMultiThreadedEventLoopGroup
  ) async throws(BackendError) -> Backend {
    try await listen(
      on: endpoint, maxPacketSize: maxPacketSize, stopResolution: stopResolution, group: group,
      finishing: BackendLimits.finishing)
  }

  /// `finishing` is how long an old connection may bring nothing once a newer one has sent something.
  static func listen(
    on endpoint: Endpoint, maxPacketSize: Int, stopResolution: Duration? = nil, group: any EventLoopGroup,
    finishing: TimeAmount
  ) async throws(BackendError) -> Backend {
    precondition(Wire.maxPacketSizes.contains(maxPacketSize), "no size for packets")
    precondition(stopResolution ?? .seconds(1) >= .milliseconds(1), "no resolution")
    let loop = group.next()
    let intake = Intake(loop: loop, finishing: finishing, stopResolution: stopResolution.map { TimeAmount($0) })
    let listener = try await Listener.start(on: endpoint, loop: loop) { channel in
      let handler = FirehoseHandler(channel: channel, intake: intake, maxPacketSize: maxPacketSize)
      try channel.pipeline.syncOperations.addHandler(handler)
    }
    return Backend(listener: listener, intake: intake, maxPacketSize: maxPacketSize)
  }

  #if Logging || Metrics
  func add(_ hook: some BackendHook) { intake.add(hook) }
  #endif

  /// Where it listens, with the actual port.
  public var address: Endpoint { listener.address }

  /// How many tagged packets were skipped; each is also an event.
  public var refusedPacketCount: Int { intake.refused.value }

  /// How much is queued and not known to have reached the kernel, in bytes; each packet counts its data and 64 bytes. 0
  /// while no relay is connected.
  public var unsentByteCount: Int { intake.outbox?.bytes ?? 0 }

  /// The cost of the events that are waiting to be taken, in bytes; each counts its data and 64 bytes.
  public var waitingByteCount: Int { intake.inbox.bytes }

  /// How long ago the oldest waiting event arrived, at most; nil if none is waiting. Events that the kernel holds,
  /// because too much is waiting already, are not included; once they are read, they count from the moment when reading
  /// stopped. With `stopResolution` that includes stops of the process.
  public var oldestEventAge: Duration? {
    intake.inbox.oldestArrival.map { .nanoseconds(max(0, (NIODeadline.now() - $0).nanoseconds)) }
  }

  /// Queues a packet for a client, and returns once it is queued; waits if too much is queued already.
  ///
  /// The relay answers a packet for an id that is not a session with a failure, `unknown client`. It keeps packets for
  /// a client that is away, within its `missed-packets-buffer`, unless the delivery is ``Delivery/volatile``.
  ///
  /// Throws ``BackendError/notConnected`` while no relay is connected: the packet was dropped, and may be sent again
  /// after ``BackendEvent/connected(_:)``. ``BackendError/packetTooLarge(size:maximum:)``, ``BackendError/cancelled``.
  public nonisolated(nonsending) func send(
    _ data: ByteBuffer, to id: UInt64, _ delivery: Delivery = .kept
  ) async throws(BackendError) {
    try check(data)
    try await send(Header(clientID: id, flag: delivery.flag), data)
  }

  /// Queues a packet for a client, as the function above does.
  public nonisolated(nonsending) func send(
    _ bytes: some Collection<UInt8>, to id: UInt64, _ delivery: Delivery = .kept
  ) async throws(BackendError) {
    try await send(ByteBuffer(bytes: bytes), to: id, delivery)
  }

  /// Queues a packet for a client if there is room for it now, and never waits. False if 4 MiB of packets are already
  /// waiting to be sent: the packet was dropped.
  ///
  /// Throws ``BackendError/notConnected`` and ``BackendError/packetTooLarge(size:maximum:)``.
  public func trySend(_ data: ByteBuffer, to id: UInt64, _ delivery: Delivery = .kept) throws(BackendError) -> Bool {
    try check(data)
    guard let outbox = intake.outbox else { throw .notConnected }
    let tag = Header(clientID: id, flag: delivery.flag)
    switch outbox.offer(header: { tag.write(to: &$0, dataCount: data.readableBytes) }, data: data) {
    case .taken: return true
    case .full: return false
    case .closed: throw .notConnected
    }
  }

  /// Queues a packet for many clients. It goes to the relay once, with their ids, and each of them gets it as if it had
  /// been sent to each separately: with the same order, limits and failures. An id that is listed twice gets it twice.
  ///
  /// More than 65,536 ids go in several packets. This needs a relay that knows multicasts; an older one skips and
  /// counts them. Throws what ``send(_:to:_:)-(ByteBuffer,_,_)`` throws; if that happens between two of several
  /// packets, the clients of the first ones still get it.
  public nonisolated(nonsending) func multicast(
    _ data: ByteBuffer, to ids: some Collection<UInt64>, _ delivery: Delivery = .kept
  ) async throws(BackendError) {
    try check(data)
    var rest = ids[...]
    while !rest.isEmpty {
      let some = Array(rest.prefix(Multicast.maxIDs))
      rest = rest.dropFirst(some.count)
      guard let outbox = intake.outbox else { throw .notConnected }
      let header = Multicast.framed(to: some, isVolatile: delivery == .volatile, dataCount: data.readableBytes)
      do {
        try await outbox.send(header: { $0.writeBytes(header) }, headerCount: header.count, data: data)
      } catch {
        throw BackendError(error)
      }
    }
  }

  /// Queues a packet for many clients, as the function above does.
  public nonisolated(nonsending) func multicast(
    _ bytes: some Collection<UInt8>, to ids: some Collection<UInt64>, _ delivery: Delivery = .kept
  ) async throws(BackendError) {
    try await multicast(ByteBuffer(bytes: bytes), to: ids, delivery)
  }

  /// Ends a client's session for good. What was sent to it before is still delivered; a client that is away loses it.
  /// The end comes as an event, with the reason `kicked`, after packets that the relay had already taken from it.
  ///
  /// Throws ``BackendError/notConnected`` and ``BackendError/cancelled``.
  public nonisolated(nonsending) func kick(_ id: UInt64) async throws(BackendError) {
    try await send(Header(clientID: id, flag: PacketFlag.kick.rawValue), ByteBuffer())
  }

  /// Stops listening and closes every connection; ``events`` ends after what it still holds. Stopping again does
  /// nothing.
  public func stop() async {
    await intake.stop()
    await listener.stop()
  }

  private func check(_ data: ByteBuffer) throws(BackendError) {
    guard data.readableBytes <= maxPacketSize else {
      throw .packetTooLarge(size: data.readableBytes, maximum: maxPacketSize)
    }
  }

  private nonisolated(nonsending) func send(_ tag: Header, _ data: ByteBuffer) async throws(BackendError) {
    guard let outbox = intake.outbox else { throw .notConnected }
    do {
      try await outbox.send(header: { tag.write(to: &$0, dataCount: data.readableBytes) }, data: data)
    } catch {
      throw BackendError(error)
    }
  }
}

/// What precedes the data of a tagged packet.
private struct Header {
  var clientID: UInt64
  var flag: UInt8

  /// Writes it for `count` bytes of data.
  func write(to header: inout ByteBuffer, dataCount count: Int) {
    header.writeInteger(UInt32(Wire.tag + count), endianness: .little)
    header.writeInteger(clientID, endianness: .little)
    header.writeInteger(flag)
  }
}

extension BackendError {
  fileprivate init(_ refusal: OutboxRefusal) {
    switch refusal {
    case .closed: self = .notConnected
    case .cancelled: self = .cancelled
    }
  }
}
