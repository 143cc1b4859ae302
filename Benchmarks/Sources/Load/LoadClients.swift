import Glibc

/// All clients of a run. They share one receive buffer and one send buffer; nothing is allocated once they are
/// connected.
struct LoadClients: ~Copyable {
  let count: Int
  let pattern: Pattern
  private let mode: LoadPlan.Mode
  private let window: Int
  /// Whether the relay is a plain proxy, which shakes no hands.
  private let isPlain: Bool
  private let address: SocketAddress
  private let congestionControl: String?
  /// Clients that may be between socket and id at a time, so that the relay's SYN backlog is never overrun.
  private let connectConcurrency: Int
  /// The clients that will stall: the last ones.
  private let stalling: Range<Int>

  private let clients: UnsafeMutablePointer<LoadClient>
  private let input: UnsafeMutableRawPointer
  private let output: UnsafeMutableRawPointer
  private let outputCapacity: Int

  private var handshakes: [Int: ClientHandshake] = [:]
  private var toConnect = 0
  private var toRetry: [Int] = []
  private(set) var lastRefusal: Int32 = 0
  private(set) var opened = 0
  private(set) var open = 0
  /// The clients by the relay's names for them; only where the backend has to know.
  private(set) var byID: [UInt64: Int] = [:]

  /// Whether new packets are sent; false before the start and while the last ones are awaited.
  private var isSending = false
  private(set) var clock: PacketClock
  /// Clients that may send, at the end of the turn.
  private var due: [Int] = []
  /// Packets that came to where they are checked, over all clients, and their bytes.
  private(set) var packets: UInt64 = 0
  private(set) var bytes: UInt64 = 0
  private(set) var faults = Faults()
  private var missing = Faults.Missing()

  init(_ plan: LoadPlan, address: SocketAddress) {
    count = plan.clients
    mode = plan.mode
    isPlain = plan.isPlain
    self.address = address
    congestionControl = plan.congestionControl
    connectConcurrency = plan.connectConcurrency
    stalling = plan.clients - plan.stalled..<plan.clients
    pattern = Pattern(plan.sizes, isShared: plan.isMulticast)
    clock = PacketClock(plan)
    // Of an idle crowd, one packet of each at the end.
    window = plan.mode == .idle ? 1 : plan.window ?? 0
    clients = .allocate(capacity: count)
    clients.initialize(repeating: LoadClient(), count: count)
    for index in stalling { clients[index].isTimed = false }
    input = .allocate(byteCount: Socket.readSize, alignment: 64)
    outputCapacity = max(Socket.readSize, pattern.largest + Pattern.prefix)
    output = .allocate(byteCount: outputCapacity, alignment: 64)
    due.reserveCapacity(count)
  }

  deinit {
    for index in 0..<count where clients[index].fd >= 0 { close(clients[index].fd) }
    clients.deallocate()
    input.deallocate()
    output.deallocate()
  }

  // MARK: Connecting

  /// Starts as many connections as may be under way. Clients that were refused wait for `retryRefused`.
  mutating func connectMore(_ epoll: borrowing Epoll) throws(BenchError) {
    while toConnect < count, handshakes.count < connectConcurrency, toRetry.isEmpty {
      toConnect += 1
      try connect(toConnect - 1, epoll)
    }
  }

  /// Gives every client that was refused another try.
  mutating func retryRefused(_ epoll: borrowing Epoll) throws(BenchError) {
    let again = toRetry
    toRetry = []
    for index in again { try connect(index, epoll) }
  }

  private mutating func connect(_ index: Int, _ epoll: borrowing Epoll) throws(BenchError) {
    let fd = try Socket.make(address.family)
    clients[index].fd = fd
    try Socket.tune(fd, family: address.family, congestionControl: congestionControl)
    if stalling.contains(index) { Socket.boundReceiveBuffer(fd) }
    let result = address.withPointer { Glibc.connect(fd, $0, $1) }
    if result != 0 && errno != EINPROGRESS {
      try refused(index, errno)
      return
    }
    clients[index].state = .connecting
    handshakes[index] = ClientHandshake()
    try epoll.add(fd, token: Token.client(index), interest: .output)
  }

  private mutating func refused(_ index: Int, _ code: Int32) throws(BenchError) {
    // A relay that is not up yet, or whose backlog is full. Everything else will not get better by waiting.
    guard [ECONNREFUSED, ECONNRESET, ENOENT, EAGAIN, ETIMEDOUT].contains(code) else {
      if code == EADDRNOTAVAIL {
        throw BenchError(
          "no local port is left for client \(index + 1) of \(count): ports of earlier runs are free again after a "
            + "minute, or use a relay at a second address")
      }
      throw .system("connect client \(index + 1) of \(count)", code: code)
    }
    lastRefusal = code
    close(clients[index].fd)
    clients[index].fd = -1
    clients[index].state = .waiting
    handshakes[index] = nil
    toRetry.append(index)
  }

  private mutating func connected(_ index: Int, _ epoll: borrowing Epoll) throws(BenchError) {
    let fd = clients[index].fd
    let error = Socket.pendingError(fd)
    guard error == 0 else { return try refused(index, error) }
    if isPlain {
      handshakes[index] = nil
      epoll.modify(fd, token: Token.client(index), interest: .input)
      return nowOpen(index)
    }
    let greeting = ClientHandshake.greeting
    // A fresh socket always has room for these 42 bytes.
    guard greeting.withUnsafeBytes({ Socket.send(fd, $0.baseAddress!, count: $0.count) }) == greeting.count else {
      return try refused(index, errno)
    }
    clients[index].state = .handshaking
    epoll.modify(fd, token: Token.client(index), interest: .input)
  }

  private mutating func shakeHands(_ index: Int) throws(BenchError) {
    let count = Socket.receive(clients[index].fd, into: input, count: Socket.readSize)
    if count < 0 && (errno == EAGAIN || errno == EINTR) { return }
    guard count > 0 else {
      throw BenchError("the relay closed client \(index + 1) of \(self.count) during its handshake")
    }
    let bytes = UnsafeRawBufferPointer(start: input, count: count)
    guard let id = try handshakes[index]!.receive(bytes) else { return }
    handshakes[index] = nil
    clients[index].id = id
    if mode != .echo { byID[id] = index }
    nowOpen(index)
  }

  private mutating func nowOpen(_ index: Int) {
    clients[index].state = .open
    opened += 1
    open += 1
  }

  // MARK: Load

  /// From here on packets are sent.
  mutating func start(_ epoll: borrowing Epoll) {
    isSending = true
    let now = Clock.now()
    clock.begin(now)
    release(now)
    if clock.isByWindow {
      for index in 0..<count where clients[index].state == .open { markDue(index) }
    }
    sendDue(now, epoll)
  }

  /// From here on packets are timed, and the clients that are meant to stall do.
  mutating func startTiming(_ epoll: borrowing Epoll) {
    clock.startTiming()
    stall(true, epoll)
  }

  /// What becomes due from here on is not timed.
  mutating func stopTiming() { clock.stopTiming() }

  /// No new packet is sent; a packet of which the socket took a part is still finished, and those that stalled read
  /// again.
  mutating func stop(_ epoll: borrowing Epoll) {
    isSending = false
    stall(false, epoll)
  }

  private func stall(_ isStalled: Bool, _ epoll: borrowing Epoll) {
    for index in stalling where clients[index].state == .open {
      clients[index].isStalled = isStalled
      watch(index, epoll)
    }
  }

  private func watch(_ index: Int, _ epoll: borrowing Epoll) {
    var interest: Epoll.Ready = clients[index].isStalled ? [] : .input
    if clients[index].wantsOutput { interest.insert(.output) }
    epoll.modify(clients[index].fd, token: Token.client(index), interest: interest)
  }

  /// Nanoseconds until the next packet is due; nil where it is not time that decides.
  func untilNext(_ now: UInt64) -> UInt64? { isSending ? clock.untilNext(now) : nil }

  /// Lets go what has become due.
  mutating func release(_ now: UInt64) {
    guard isSending, !clock.isByWindow else { return }
    for _ in 0..<clock.due(now) {
      if let index = clock.release(now) {
        allowOne(index)
      } else {
        for index in 0..<count { allowOne(index) }
      }
    }
  }

  private mutating func allowOne(_ index: Int) {
    guard clients[index].state == .open else { return }
    clients[index].allowed += 1
    markDue(index)
  }

  @inline(__always)
  private mutating func markDue(_ index: Int) {
    guard !clients[index].isDue else { return }
    clients[index].isDue = true
    due.append(index)
  }

  /// Lets every client send that may; where the backend sends, this is for ``takeDue``.
  mutating func sendDue(_ now: UInt64, _ epoll: borrowing Epoll) {
    guard !mode.isFromBackend else { return }
    while let index = due.popLast() {
      clients[index].isDue = false
      if clients[index].state == .open, !clients[index].wantsOutput { topUp(index, now, epoll) }
    }
  }

  /// A client to whom the backend may send, and how many packets; nil where there is none.
  func nextDue() -> (index: Int, packets: Int)? {
    guard let index = due.last else { return nil }
    return (index, budget(index))
  }

  /// The backend has sent all that the client of ``nextDue`` was allowed.
  mutating func removeDue() {
    clients[due.removeLast()].isDue = false
  }

  /// The backend writes the next packet to a client, with its size prefix. Returns its bytes.
  mutating func writeNext(_ index: Int, to out: UnsafeMutableRawPointer, now: UInt64) -> (id: UInt64, count: Int) {
    let client = clients + index
    let count = pattern.write(client: index, sequence: client.pointee.sent, to: out)
    noteTime(client, now)
    client.pointee.sent += 1
    return (client.pointee.id, count)
  }

  /// Takes every client that is due a packet, and notes that the backend sends each the next one. Returns the packet's
  /// sequence number, which is the same for all, and appends the relay's names for them to `ids`.
  mutating func takeRound(ids: inout [UInt64], now: UInt64) -> UInt64? {
    var sequence: UInt64?
    for index in due where budget(index) > 0 {
      let client = clients + index
      guard sequence == nil || client.pointee.sent == sequence else { continue }
      sequence = client.pointee.sent
      noteTime(client, now)
      client.pointee.sent += 1
      ids.append(client.pointee.id)
    }
    guard sequence == nil else { return sequence }
    while !due.isEmpty { removeDue() }
    return nil
  }

  /// Packets that may be sent to or from the client now.
  @inline(__always)
  private func budget(_ index: Int) -> Int {
    let client = clients + index
    guard isSending, client.pointee.state == .open else { return 0 }
    return clock.isByWindow ? window - client.pointee.inFlight : Int(client.pointee.allowed - client.pointee.sent)
  }

  @inline(__always)
  private func noteTime(_ client: UnsafeMutablePointer<LoadClient>, _ now: UInt64) {
    guard client.pointee.timedAt == 0 else { return }
    client.pointee.timedAt = now
    client.pointee.timedSequence = client.pointee.sent
  }

  /// Checks bytes of a client's stream, where they came: at the client, or at the backend.
  @inline(__always)
  mutating func arrived(_ index: Int, _ bytes: UnsafeRawPointer, count: Int, now: UInt64) {
    let client = clients + index
    let (before, next) = (client.pointee.checker.answered, client.pointee.checker.next)
    client.pointee.checker.consume(
      bytes, count: count, client: index, sent: client.pointee.sent, pattern: pattern, faults: &faults,
      missing: &missing)
    packets &+= client.pointee.checker.answered &- before
    self.bytes &+= UInt64(count)
    clock.arrived(&client.pointee, index, from: next, to: client.pointee.checker.next, now: now)
  }

  /// A packet came for the backend: of the client with this id, size prefix and data.
  mutating func arrivedAtBackend(id: UInt64, _ packet: UnsafeRawPointer, count: Int, now: UInt64) -> Bool {
    guard let index = byID[id] else { return false }
    arrived(index, packet, count: count, now: now)
    if clock.isByWindow { markDue(index) }
    return true
  }

  /// Packets that have not come, those of clients that were closed included.
  func unanswered() -> Int {
    var sum = 0
    for index in 0..<count { sum += clients[index].inFlight }
    return sum
  }

  /// Whether the drain has nothing left to wait for.
  func isDrained() -> Bool {
    for index in 0..<count where clients[index].state == .open {
      if clients[index].inFlight > 0 || clients[index].partial > 0 { return false }
    }
    return true
  }

  /// What has not come by now is lost.
  mutating func countLost() {
    faults.lost = unanswered()
    let now = Clock.now()
    for index in 0..<count { clock.giveUp(clients[index], index, now: now) }
  }

  /// Closes every connection.
  mutating func closeAll() {
    for index in 0..<count where clients[index].state == .open { closeClient(index) }
  }

  /// `now` is when the turn began: it stands for every receive and send of the turn.
  @inline(__always)
  mutating func handle(_ index: Int, _ ready: Epoll.Ready, now: UInt64, _ epoll: borrowing Epoll) throws(BenchError) {
    guard clients[index].state == .open else {
      switch clients[index].state {
      case .connecting: try connected(index, epoll)
      case .handshaking: try shakeHands(index)
      default: break
      }
      return
    }
    if !ready.isDisjoint(with: [.input, .closed]) {
      guard read(index, now) else { return closeClient(index) }
    }
    if mode.isFromBackend { return }
    if ready.contains(.output) || !clients[index].wantsOutput { topUp(index, now, epoll) }
  }

  /// One large receive; false when the connection has ended or can't be followed.
  @inline(__always)
  private mutating func read(_ index: Int, _ now: UInt64) -> Bool {
    let count = Socket.receive(clients[index].fd, into: input, count: Socket.readSize)
    guard count > 0 else {
      if count < 0 && (errno == EAGAIN || errno == EINTR) { return true }
      faults.closed += 1
      return false
    }
    arrived(index, input, count: count, now: now)
    if mode == .egress, clock.isByWindow { markDue(index) }
    return !clients[index].checker.isBroken
  }

  private mutating func closeClient(_ index: Int) {
    close(clients[index].fd)
    clients[index].fd = -1
    clients[index].state = .closed
    open -= 1
  }

  /// Everything that may be sent goes out in one send, or as few as the send buffer allows.
  @inline(__always)
  private mutating func topUp(_ index: Int, _ now: UInt64, _ epoll: borrowing Epoll) {
    let client = clients + index
    var wantsOutput = false
    while true {
      var left = budget(index)
      if client.pointee.partial > 0 { left = max(left, 1) }
      guard left > 0 else { break }

      var sequence = client.pointee.sent
      var filled = 0
      while left > 0, outputCapacity - filled >= pattern.frame(client: index, sequence: sequence) {
        filled += pattern.write(client: index, sequence: sequence, to: output + filled)
        sequence &+= 1
        left -= 1
      }
      let partial = client.pointee.partial
      let length = filled - partial
      let count = Socket.send(client.pointee.fd, output + partial, count: length)
      guard count >= 0 else {
        // An error other than a full socket shows again on reading, which closes the client.
        wantsOutput = errno == EAGAIN
        break
      }
      noteTime(client, now)
      if count == length {
        client.pointee.sent = sequence
        client.pointee.partial = 0
        continue
      }
      client.pointee.partial += count
      while true {
        let frame = pattern.frame(client: index, sequence: client.pointee.sent)
        guard client.pointee.partial >= frame else { break }
        client.pointee.partial -= frame
        client.pointee.sent &+= 1
      }
      wantsOutput = true
      break
    }
    if wantsOutput != client.pointee.wantsOutput {
      client.pointee.wantsOutput = wantsOutput
      watch(index, epoll)
    }
  }
}
