import Glibc

/// Connections as fast as the relay takes them: `concurrency` are under way at any time, and each is reset as soon as
/// it has done what it came for. (A reset leaves no port behind in TIME_WAIT, of which a storm would soon run out.)
public struct StormRun: ~Copyable {
  /// A connection that is under way.
  private struct Attempt {
    var fd: Int32 = -1
    var client = 0
    var startedAt: UInt64 = 0
    var kind = Kind.idle
  }

  private enum Kind {
    case idle
    /// Not connected yet.
    case dialling
    case newcomer(ClientHandshake)
    case returning(Comeback)
  }

  private let plan: StormPlan
  private let epoll: Epoll
  private let relay: SocketAddress
  private let key: StormKey
  private var backend: LoadBackend?
  private var attempts: [Attempt]
  private var ids: [UInt64]
  private let input = UnsafeMutableRawPointer.allocate(byteCount: 4096, alignment: 8)

  // The phase that is running.
  private var isReturning = false
  private var next = 0
  private var done = 0
  private var refused = 0
  private var latency = LatencyHistogram()

  public static func measure(_ plan: StormPlan) throws(BenchError) -> StormReport {
    try OpenFiles.require(plan.concurrency)
    var run = StormRun(plan, epoll: try Epoll(), relay: try plan.relay.resolved(), key: try StormKey())
    return try run.run()
  }

  private init(_ plan: StormPlan, epoll: consuming Epoll, relay: SocketAddress, key: StormKey) {
    self.plan = plan
    self.epoll = epoll
    self.relay = relay
    self.key = key
    attempts = Array(repeating: Attempt(), count: plan.concurrency)
    ids = Array(repeating: 0, count: plan.clients)
  }

  deinit { input.deallocate() }

  private mutating func run() throws(BenchError) -> StormReport {
    if let address = plan.backend {
      backend = try LoadBackend.open(at: address, .echo, congestionControl: plan.congestionControl, epoll)
    }
    let deadline = Clock.now() + Clock.nanoseconds(plan.startTimeout)
    while !(backend?.isConnected ?? true) {
      guard Clock.now() < deadline else {
        throw BenchError("no relay has dialled \(plan.backend!) within \(plan.startTimeout) s")
      }
      try turn()
    }
    var report = StormReport(plan)
    report.phases.append(try phase("new clients"))
    if plan.mode == .reconnect {
      isReturning = true
      for round in 0..<plan.rounds {
        report.phases.append(
          try phase(round == 0 ? "first return" : round == 1 ? "second return" : "return \(round + 1)"))
      }
    }
    report.complaints = backend?.complaints ?? []
    return report
  }

  private mutating func phase(_ name: String) throws(BenchError) -> StormReport.Phase {
    (next, done, refused, latency) = (0, 0, 0, LatencyHistogram())
    let start = try Reading.take(plan.relayPID)
    for slot in attempts.indices { try startNext(slot) }
    var lastProgress = (at: Clock.now(), done: 0)
    while done + refused < plan.clients {
      let now = try turn()
      if done + refused != lastProgress.done {
        lastProgress = (now, done + refused)
      } else if now - lastProgress.at > Clock.nanoseconds(plan.startTimeout) {
        throw BenchError("\(name): \(done) of \(plan.clients), and then none for \(plan.startTimeout) s")
      }
    }
    return StormReport.Phase(
      name: name, done: done, refused: refused, latency: latency, from: start, to: try Reading.take(plan.relayPID))
  }

  private mutating func startNext(_ slot: Int) throws(BenchError) {
    guard next < plan.clients else { return }
    attempts[slot] = Attempt(fd: try Socket.make(relay.family), client: next, startedAt: Clock.now(), kind: .dialling)
    next += 1
    try dial(slot)
  }

  private mutating func dial(_ slot: Int) throws(BenchError) {
    let fd = attempts[slot].fd
    try Socket.tune(fd, family: relay.family, congestionControl: plan.congestionControl)
    // EAGAIN: the backlog of a unix socket is full, which the timeout of a whole phase covers.
    while relay.withPointer({ connect(fd, $0, $1) }) != 0, errno != EINPROGRESS {
      guard errno == EAGAIN || errno == EINTR else { throw .system("connect to \(plan.relay)") }
      usleep(1000)
    }
    try epoll.add(fd, token: Token.client(slot), interest: .output)
  }

  private mutating func serve(_ slot: Int, _ now: UInt64) throws(BenchError) {
    let fd = attempts[slot].fd
    switch attempts[slot].kind {
    case .idle: return
    case .dialling:
      let error = Socket.pendingError(fd)
      guard error == 0 else { throw .system("connect to \(plan.relay)", code: error) }
      send(fd, isReturning ? Comeback.greeting(ids[attempts[slot].client]) : key.greeting)
      attempts[slot].kind = isReturning ? .returning(Comeback(key)) : .newcomer(ClientHandshake())
      epoll.modify(fd, token: Token.client(slot), interest: .input)
    case .newcomer(var handshake):
      guard let bytes = receive(slot) else { return try finish(slot, refused: true) }
      if let id = try handshake.receive(bytes) {
        ids[attempts[slot].client] = id
        latency.record(now - attempts[slot].startedAt)
        return try finish(slot, refused: false)
      }
      attempts[slot].kind = .newcomer(handshake)
    case .returning(var comeback):
      guard let bytes = receive(slot) else { return try finish(slot, refused: true) }
      switch try comeback.receive(bytes) {
      case .more: break
      case .send(let bytes): send(fd, bytes)
      case .done:
        latency.record(now - attempts[slot].startedAt)
        return try finish(slot, refused: false)
      }
      attempts[slot].kind = .returning(comeback)
    }
  }

  /// What has come; nil where the relay has ended the connection.
  private func receive(_ slot: Int) -> UnsafeRawBufferPointer? {
    let count = Socket.receive(attempts[slot].fd, into: input, count: 4096)
    if count < 0, errno == EAGAIN || errno == EINTR { return UnsafeRawBufferPointer(start: input, count: 0) }
    return count > 0 ? UnsafeRawBufferPointer(start: input, count: count) : nil
  }

  /// A few bytes on a fresh connection: its buffer takes them. Where it is gone, the next receive says so.
  private func send(_ fd: Int32, _ bytes: [UInt8]) {
    _ = bytes.withUnsafeBytes { Socket.send(fd, $0.baseAddress!, count: $0.count) }
  }

  private mutating func finish(_ slot: Int, refused isRefused: Bool) throws(BenchError) {
    if isRefused { refused += 1 } else { done += 1 }
    Socket.reset(attempts[slot].fd)
    attempts[slot].kind = .idle
    try startNext(slot)
  }

  @discardableResult
  private mutating func turn() throws(BenchError) -> UInt64 {
    let count = epoll.wait(nanoseconds: 20_000_000)
    let now = Clock.now()
    for index in 0..<count {
      let (token, ready) = epoll.event(index)
      if Token.isBackend(token) {
        try backend!.handle(token, ready, epoll)
      } else {
        try serve(Token.index(token), now)
      }
    }
    return now
  }
}
