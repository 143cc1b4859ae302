import Glibc
import VoltlaneWire

/// The kernel of a ``Replay``. Its methods that stand for the kernel's work are kept out of line, so that callgrind can
/// leave them out of the count by their names; what they do stands in ``ReplayScript``, because a method of this type
/// called by another would count again.
struct ReplayKernel: Kernel, ~Copyable {
  static let start: UInt64 = 1_000_000_000

  private(set) var now = ReplayKernel.start
  var clockShift: UInt64 = 0
  private var script: ReplayScript
  private let batch: UnsafeMutablePointer<Completion>
  private var reaped = 0
  private var taken = 0
  var machineNow: UInt64 { now }
  var grace: UInt64 { 0 }
  var standstill: Standstill { Standstill() }
  mutating func takeOver(_ standstill: Standstill) {}
  @inline(never) mutating func moment() -> UInt64 { now }
  var hasSettled: Bool { true }
  var hasBroughtAll: Bool { true }

  /// `isSecond`: of a host to which roles only move.
  init(_ replay: Replay, isSecond: Bool = false) {
    script = ReplayScript(replay, isSecond: isSecond)
    batch = .allocate(capacity: Limits.completionsPerTurn)
  }

  deinit { batch.deallocate() }

  /// The first second passes quickly: until its connection has stood for a while, nothing goes to the backend.
  private var step: UInt64 { now < ReplayKernel.start + Limits.second ? 10 * Limits.millisecond : 1000 }

  @inline(never) mutating func isDone() -> Bool { script.isDone }
  @inline(never) func hasConnected() -> Bool { script.hasConnected }
  @inline(never) func bytesOut() -> Int { script.bytesOut }
  /// The control thread calls.
  @inline(never) mutating func call() { script.add(Token(.control), 1) }

  @inline(never)
  mutating func submit(_ operation: KernelOperation, _ token: Token) { script.submit(operation, token) }

  @inline(__always)
  mutating func next() -> Completion? {
    guard taken < reaped else { return nil }
    taken &+= 1
    return batch[taken &- 1]
  }

  @inline(never)
  mutating func wait(until deadline: UInt64) {
    now &+= step
    taken = 0
    reaped = script.complete(batch)
  }

  @inline(never)
  mutating func poll() {
    now &+= step
    taken = 0
    reaped = script.complete(batch)
  }

  @inline(never)
  mutating func receive(_ socket: Int32, _ bytes: UnsafeMutableRawPointer, _ count: Int) -> Int {
    script.receive(socket, bytes, count)
  }

  @inline(never)
  mutating func receive(
    _ socket: Int32, _ first: UnsafeMutableRawPointer, _ firstCount: Int, _ second: UnsafeMutableRawPointer,
    _ secondCount: Int
  ) -> Int {
    fatalError("the replay sends whole packets")
  }

  @inline(never)
  mutating func send(_ socket: Int32, _ bytes: UnsafeRawPointer, _ count: Int) -> Int {
    script.send(socket, bytes, count)
    return count
  }

  @inline(never)
  mutating func send(_ socket: Int32, _ vectors: UnsafeMutablePointer<iovec>, vectorCount: Int) -> Int {
    var sent = 0
    for index in 0..<vectorCount {
      script.send(socket, vectors[index].iov_base, vectors[index].iov_len)
      sent += vectors[index].iov_len
    }
    return sent
  }

  @inline(never) mutating func shutdownSending(_ socket: Int32) {}
  @inline(never) mutating func reset(_ socket: Int32) -> Bool { true }
  @inline(never) mutating func abandon(_ socket: Int32) {}
  @inline(never) mutating func setUserTimeout(_ socket: Int32, _ milliseconds: UInt32, unanswered: UInt32) {}
  @inline(never) mutating func shun(_ addresses: [AddressKey], at listener: Int32) -> Bool { true }
  @inline(never) mutating func unburden(_ socket: Int32) {}
  @inline(never) mutating func peerAddress(_ socket: Int32) -> ClientAddress { .none }
  @inline(never) mutating func peerPort(_ socket: Int32) -> UInt16 { 0 }
  @inline(never) mutating func unread(_ socket: Int32) -> Int { 0 }
  @inline(never) mutating func unacknowledged(_ socket: Int32) -> Int { 0 }
  @inline(never) mutating func memory(of socket: Int32) -> Int { 0 }
  @inline(never) mutating func silence(_ socket: Int32) -> UInt64 { 0 }
  @inline(never) mutating func dial(_ address: SocketAddress) -> Int32 { ReplayScript.backend }
  @inline(never) mutating func dialResult(_ socket: Int32) -> DialResult { .connected }
  @inline(never) mutating func backlog(_ socket: Int32) -> Backlog { Backlog(waiting: 0, taken: 0) }
  @inline(never) mutating func resolve(_ token: Token) { script.add(token, 0) }
  @inline(never) mutating func forget(_ completion: Completion) {}
  @inline(never) mutating func lookUp(_ completion: Completion) -> LookUp { .found }
  @inline(never) mutating func resolvedAddress(_ index: Int) -> SocketAddress? { SocketAddress(unixPath: "/replay") }
  @inline(never) mutating func random() -> UInt64 { 0 }
  @inline(never) mutating func ring(_ bell: Bell) {}
  @inline(never) mutating func ringAgain(_ completion: Completion) {}
  @inline(never) mutating func wakeControl() {}
}

/// What happens in a ``Replay``: every client connects and shakes hands; then each turn finds packets in every client's
/// socket, or in the backend's, until all have been sent, and ends when as much has come out.
struct ReplayScript: ~Copyable {
  /// No descriptor: there is nothing to close.
  static let listener: Int32 = -1
  static let backend: Int32 = 4
  private static let firstClient: Int32 = 5

  /// A valid key: the generator of the curve.
  static let clientKey: [UInt8] = [
    0x02, 0x79, 0xbe, 0x66, 0x7e, 0xf9, 0xdc, 0xbb, 0xac, 0x55, 0xa0, 0x62, 0x95, 0xce, 0x87, 0x0b, 0x07, 0x02, 0x9b,
    0xfc, 0xdb, 0x2d, 0xce, 0x28, 0xd9, 0x59, 0xf2, 0x81, 0x5b, 0x16, 0xf8, 0x17, 0x98,
  ]

  private struct Client {
    var token = Token(.none)
    var id: UInt64 = 0
    var saidHello = false
    /// Packets that its socket holds.
    var readable = 0
  }

  private let replay: Replay
  private var completions: [Completion] = []
  private var clients: [Client]
  private var acceptToken = Token(.none)
  private var backendToken = Token(.none)
  private var backendReadable = 0
  private var connected = 0
  private var hasAccepted: Bool
  private var unsent: Int
  private(set) var bytesOut = 0
  private var turns = 0
  /// Packets that the shard's read buffer has in it: the shard never changes what it has read.
  private var packetsInReadBuffer = 0

  init(_ replay: Replay, isSecond: Bool) {
    self.replay = replay
    hasAccepted = isSecond
    clients = Array(repeating: Client(saidHello: isSecond), count: replay.clients)
    unsent = replay.packets
  }

  private var header: Int { Wire.sizePrefix + (replay.direction == .up ? 0 : Wire.tag) }
  private var bytesExpected: Int {
    replay.packets * (replay.size + Wire.sizePrefix + (replay.direction == .up ? Wire.tag : 0))
  }

  var hasConnected: Bool { connected == replay.clients }

  var isDone: Bool {
    unsent == 0 && bytesOut == bytesExpected
  }

  // MARK: What the relay asks

  mutating func add(_ token: Token, _ result: Int32) {
    completions.append(Completion(token: token, result: result, more: true))
  }

  mutating func submit(_ operation: KernelOperation, _ token: Token) {
    switch operation {
    case .accept where !hasAccepted:
      hasAccepted = true
      for client in 0..<replay.clients { add(token, ReplayScript.firstClient + Int32(client)) }
    case .cancel(let accept, _) where accept.purpose == .accept:
      completions.append(Completion(token: accept, result: -ECANCELED, more: false))
    case .pollReadable(ReplayScript.backend):
      backendToken = token
    case .pollReadable(let socket) where socket >= ReplayScript.firstClient:
      let client = Int(socket - ReplayScript.firstClient)
      clients[client].token = token
      if !clients[client].saidHello { add(token, Int32(POLLIN)) }
    case .pollWritable:
      add(token, Int32(POLLOUT))
    case .send(let socket, let bytes, let count):
      send(socket, bytes, count)
    case .accept, .pollReadable, .cancel, .close:
      break
    }
  }

  /// The completions of a turn. Returns how many.
  mutating func complete(_ batch: UnsafeMutablePointer<Completion>) -> Int {
    if completions.isEmpty, connected == replay.clients, unsent > 0 { fillSockets() }
    turns += 1
    precondition(turns < 100_000_000, "the replay never ends")
    let count = min(completions.count, Limits.completionsPerTurn)
    for index in 0..<count { batch[index] = completions[index] }
    completions.removeFirst(count)
    return count
  }

  private mutating func fillSockets() {
    switch replay.direction {
    case .up:
      for client in clients.indices {
        let count = min(unsent, replay.packetsPerReceive)
        guard count > 0 else { return }
        unsent -= count
        clients[client].readable += count
        add(clients[client].token, Int32(POLLIN))
      }
    case .down:
      backendReadable = min(unsent, replay.packetsPerReceive)
      unsent -= backendReadable
      add(backendToken, Int32(POLLIN))
    }
  }

  mutating func receive(_ socket: Int32, _ bytes: UnsafeMutableRawPointer, _ count: Int) -> Int {
    let packetBytes = header + replay.size
    if socket == ReplayScript.backend {
      let packets = min(backendReadable, count / packetBytes)
      guard packets > 0 else { return -Int(EAGAIN) }
      backendReadable -= packets
      // Anew each time: the relay writes over the tags.
      for packet in 0..<packets {
        write(packetBytes - Wire.sizePrefix, at: bytes + packet * packetBytes, id: clients[packet % clients.count].id)
      }
      return packets * packetBytes
    }
    let index = Int(socket - ReplayScript.firstClient)
    if !clients[index].saidHello {
      clients[index].saidHello = true
      let key = ReplayScript.clientKey
      let hello =
        FramedHandshakePacket.protocolVersion().bytes + FramedHandshakePacket.publicKey(key.span.bytes).bytes
      hello.withUnsafeBytes { bytes.copyMemory(from: $0.baseAddress!, byteCount: hello.count) }
      return hello.count
    }
    let packets = min(clients[index].readable, count / packetBytes)
    guard packets > 0 else { return -Int(EAGAIN) }
    clients[index].readable -= packets
    // A read that was too short for all, as where clients have rates.
    if clients[index].readable > 0 { add(clients[index].token, Int32(POLLIN)) }
    while packetsInReadBuffer < packets {
      write(replay.size, at: bytes + packetsInReadBuffer * packetBytes, id: nil)
      packetsInReadBuffer += 1
    }
    return packets * packetBytes
  }

  private func write(_ size: Int, at target: UnsafeMutableRawPointer, id: UInt64?) {
    target.storeBytes(of: UInt32(size).littleEndian, as: UInt32.self)
    guard let id else { return }
    target.storeBytes(of: id.littleEndian, toByteOffset: Wire.sizePrefix, as: UInt64.self)
    target.storeBytes(of: PacketFlag.data.rawValue, toByteOffset: Wire.sizePrefix + Wire.clientID, as: UInt8.self)
  }

  mutating func send(_ socket: Int32, _ bytes: UnsafeRawPointer, _ count: Int) {
    guard socket != ReplayScript.backend, connected < replay.clients else {
      bytesOut += count
      return
    }
    // In the handshake: the relay's key says nothing, the id comes last.
    let packet = UnsafeRawBufferPointer(start: bytes, count: count).bytes.extracting(Wire.sizePrefix..<count)
    guard case .clientID(let id)? = try? HandshakePacket.decode(packet) else { return }
    clients[Int(socket - ReplayScript.firstClient)].id = id
    connected += 1
  }
}
