import Glibc

/// All clients of a run. They share one receive buffer and one send buffer; nothing is allocated once they are
/// connected.
struct LoadClients: ~Copyable {
  let count: Int
  private let window: Int
  private let pattern: Pattern
  private let address: SocketAddress
  private let congestionControl: String?
  /// Clients that may be between socket and id at a time, so that the relay's SYN backlog is never overrun.
  private let connectConcurrency: Int

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

  /// Whether windows are topped up; false before the start and while the last echoes are awaited.
  private var isSending = false
  private var isTiming = false
  private(set) var latency = LatencyHistogram()
  /// Echoes that came back, over all clients.
  private(set) var roundTrips: UInt64 = 0
  private(set) var faults = Faults()
  private var missing = Faults.Missing()

  init(
    count: Int, size: Int, window: Int, address: SocketAddress, congestionControl: String?, connectConcurrency: Int
  ) {
    self.count = count
    self.window = window
    self.address = address
    self.congestionControl = congestionControl
    self.connectConcurrency = connectConcurrency
    pattern = Pattern(size: size)
    clients = .allocate(capacity: count)
    clients.initialize(repeating: LoadClient(), count: count)
    input = .allocate(byteCount: Socket.readSize, alignment: 64)
    outputCapacity = max(Socket.readSize, pattern.frame)
    output = .allocate(byteCount: outputCapacity, alignment: 64)
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
    guard try handshakes[index]!.receive(UnsafeRawBufferPointer(start: input, count: count)) else { return }
    handshakes[index] = nil
    clients[index].state = .open
    opened += 1
    open += 1
  }

  // MARK: Load

  /// Fills every window.
  mutating func start(_ epoll: borrowing Epoll) {
    isSending = true
    let now = Clock.now()
    for index in 0..<count where clients[index].state == .open { topUp(index, now, epoll) }
  }

  /// From here on round trips are timed.
  mutating func startTiming() {
    isTiming = true
    latency = LatencyHistogram()
  }

  /// No new packet is sent; a packet of which the socket took a part is still finished.
  mutating func stop() {
    isSending = false
    isTiming = false
  }

  /// Packets that have not come back, those of clients that were closed included.
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
  mutating func countLost() { faults.lost = unanswered() }

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
    if ready.contains(.output) || !clients[index].wantsOutput { topUp(index, now, epoll) }
  }

  /// One large receive; false when the connection has ended or can't be followed.
  @inline(__always)
  private mutating func read(_ index: Int, _ now: UInt64) -> Bool {
    let client = clients + index
    let count = Socket.receive(client.pointee.fd, into: input, count: Socket.readSize)
    guard count > 0 else {
      if count < 0 && (errno == EAGAIN || errno == EINTR) { return true }
      faults.closed += 1
      return false
    }
    let before = client.pointee.checker.answered
    client.pointee.checker.consume(
      input, count: count, client: index, sent: client.pointee.sent, pattern: pattern, faults: &faults,
      missing: &missing)
    roundTrips &+= client.pointee.checker.answered &- before
    if client.pointee.timedAt != 0 && client.pointee.checker.next > client.pointee.timedSequence {
      if isTiming { latency.record(now &- client.pointee.timedAt) }
      client.pointee.timedAt = 0
    }
    return !client.pointee.checker.isBroken
  }

  private mutating func closeClient(_ index: Int) {
    close(clients[index].fd)
    clients[index].fd = -1
    clients[index].state = .closed
    open -= 1
  }

  /// Everything that the window has room for goes out in one send, or as few as the send buffer allows.
  @inline(__always)
  private mutating func topUp(_ index: Int, _ now: UInt64, _ epoll: borrowing Epoll) {
    let client = clients + index
    let frame = pattern.frame
    let batch = outputCapacity / frame
    var wantsOutput = false
    while true {
      var packets = isSending ? min(window - client.pointee.inFlight, batch) : 0
      if client.pointee.partial > 0 { packets = max(packets, 1) }
      guard packets > 0 else { break }

      var sequence = client.pointee.sent
      var at = output
      for _ in 0..<packets {
        pattern.write(client: index, sequence: sequence, to: at)
        sequence &+= 1
        at += frame
      }
      let partial = client.pointee.partial
      let length = packets * frame - partial
      let count = Socket.send(client.pointee.fd, output + partial, count: length)
      guard count >= 0 else {
        // An error other than a full socket shows again on reading, which closes the client.
        wantsOutput = errno == EAGAIN
        break
      }
      if client.pointee.timedAt == 0 {
        client.pointee.timedAt = now
        client.pointee.timedSequence = client.pointee.sent
      }
      let handed = partial + count
      client.pointee.sent &+= UInt64(handed / frame)
      client.pointee.partial = handed % frame
      if count < length {
        wantsOutput = true
        break
      }
    }
    if wantsOutput != client.pointee.wantsOutput {
      client.pointee.wantsOutput = wantsOutput
      epoll.modify(
        client.pointee.fd, token: Token.client(index), interest: wantsOutput ? [.input, .output] : .input)
    }
  }
}
