import Glibc

/// One measurement, start to end. Clients and backend share one thread and one epoll instance unless the plan gives the
/// backend its own: on two CPUs, of which the relay has one, a third busy thread would only take turns with the relay.
public struct EchoRun: ~Copyable {
  private let plan: EchoPlan
  private let epoll: Epoll
  private var clients: LoadClients
  private var backend: EchoBackend?
  private var backendThread: BackendThread?
  /// Events of the latest turn.
  private var lastEvents = 0

  public static func measure(_ plan: EchoPlan) throws(BenchError) -> EchoReport {
    let limit = OpenFiles.raiseLimit()
    guard plan.clients + OpenFiles.reserved <= limit else {
      throw BenchError(
        "\(plan.clients) clients do not fit: this process may open \(limit) files (ulimit -Hn), "
          + "\(OpenFiles.reserved) of which are needed for other things")
    }
    var run = EchoRun(plan, epoll: try Epoll(), relay: try plan.relay.resolved())
    try run.openBackend()
    return try run.run()
  }

  private init(_ plan: EchoPlan, epoll: consuming Epoll, relay: SocketAddress) {
    self.plan = plan
    self.epoll = epoll
    clients = LoadClients(
      count: plan.clients, size: plan.size, window: plan.window, address: relay,
      congestionControl: plan.congestionControl, connectConcurrency: plan.connectConcurrency)
  }

  private mutating func openBackend() throws(BenchError) {
    guard let address = plan.backend else { return }
    if plan.backendThread {
      let thread = BackendThread(address: address, congestionControl: plan.congestionControl)
      try thread.start()
      backendThread = thread
    } else {
      backend = try EchoBackend.open(at: address, congestionControl: plan.congestionControl, epoll)
    }
  }

  private mutating func run() throws(BenchError) -> EchoReport {
    var report = EchoReport(plan)
    try awaitBackendConnection()
    try idle(seconds: 0.1)

    let idleSample = try plan.relayPID.map { pid throws(BenchError) in try ProcessSample.take(pid) }
    let connectStart = Clock.now()
    try connectAll()
    report.connectSeconds = seconds(since: connectStart)
    try idle(seconds: 0.2)
    if let pid = plan.relayPID, let idleSample {
      report.relayIdleBytes = idleSample.residentBytes
      report.relayConnectedBytes = try ProcessSample.take(pid).residentBytes
    }

    clients.start(epoll)
    try load(until: plan.warmup)
    clients.startTiming()
    let before = try Reading.take(plan)
    let firstRoundTrip = clients.roundTrips
    report.stalled = try load(for: plan.length)
    let roundTrips = clients.roundTrips - firstRoundTrip
    let after = try Reading.take(plan)
    report.latency = clients.latency
    clients.stop()
    report.drainSeconds = try drain()

    clients.countLost()
    report.faults = clients.faults
    report.totalRoundTrips = clients.roundTrips
    try leave()
    report.complaints = backendThread?.stop() ?? backend?.complaints ?? []
    report.fill(roundTrips: roundTrips, from: before, to: after)
    return report
  }

  // MARK: Phases

  private mutating func awaitBackendConnection() throws(BenchError) {
    guard let address = plan.backend else { return }
    let deadline = Clock.now() + Clock.nanoseconds(plan.startTimeout)
    while !(try backendThread?.isConnected() ?? backend?.isConnected ?? true) {
      guard Clock.now() < deadline else {
        throw BenchError("no relay has dialled \(address) within \(plan.startTimeout) s")
      }
      try turn(milliseconds: 20)
    }
  }

  private mutating func connectAll() throws(BenchError) {
    var deadline = Clock.now() + Clock.nanoseconds(plan.startTimeout)
    var lastRetry = Clock.now()
    var opened = 0
    while clients.opened < plan.clients {
      try clients.connectMore(epoll)
      try turn(milliseconds: 20)
      let now = Clock.now()
      if now - lastRetry > 20_000_000 {
        lastRetry = now
        try clients.retryRefused(epoll)
      }
      if clients.opened > opened {
        opened = clients.opened
        deadline = now + Clock.nanoseconds(plan.startTimeout)
      }
      guard now < deadline else {
        let why =
          clients.lastRefusal == 0
          ? "no answer to a handshake" : "the last refusal was: \(String(cString: strerror(clients.lastRefusal)))"
        throw BenchError(
          "\(opened) of \(plan.clients) clients are connected to \(plan.relay), and for \(plan.startTimeout) s no "
            + "other was (\(why))")
      }
    }
  }

  /// Lets what goes on go on, without load.
  private mutating func idle(seconds: Double) throws(BenchError) {
    let end = Clock.now() + Clock.nanoseconds(seconds)
    while Clock.now() < end { try turn(milliseconds: 10) }
  }

  private mutating func load(until seconds: Double) throws(BenchError) {
    let end = Clock.now() + Clock.nanoseconds(seconds)
    while try turn(milliseconds: 10) < end {}
  }

  /// The measurement itself; true when it ended early because nothing came back any more.
  private mutating func load(for length: EchoPlan.Length) throws(BenchError) -> Bool {
    var lastProgress = Clock.now()
    var lastCount = clients.roundTrips
    let patience = Clock.nanoseconds(plan.drainTimeout)
    let (end, goal): (UInt64, UInt64) =
      switch length {
      case .seconds(let seconds): (lastProgress + Clock.nanoseconds(seconds), .max)
      case .roundTrips(let count): (.max, lastCount + count)
      }
    while true {
      let now = try turn(milliseconds: 100)
      if now >= end || clients.roundTrips >= goal { return false }
      if clients.roundTrips != lastCount {
        (lastProgress, lastCount) = (now, clients.roundTrips)
      } else if now - lastProgress > patience {
        return true
      }
    }
  }

  /// Waits for every echo that is under way; gives up when none has come for the drain timeout.
  private mutating func drain() throws(BenchError) -> Double {
    let start = Clock.now()
    var lastProgress = start
    var lastCount = clients.roundTrips
    while !clients.isDrained() {
      let now = try turn(milliseconds: 10)
      if clients.roundTrips != lastCount {
        (lastProgress, lastCount) = (now, clients.roundTrips)
      } else if now - lastProgress > Clock.nanoseconds(plan.drainTimeout) {
        break
      }
    }
    return seconds(since: start)
  }

  /// Closes the clients, and only when the relay has said of each that it is gone the backend: closed at once, it would
  /// look to the relay like one that crashed.
  private mutating func leave() throws(BenchError) {
    clients.closeAll()
    guard backend != nil else { return }
    let deadline = Clock.now() + 2_000_000_000
    repeat {
      try turn(milliseconds: 50)
    } while lastEvents > 0 && Clock.now() < deadline
  }

  private func seconds(since start: UInt64) -> Double { Double(Clock.now() - start) / 1e9 }

  // MARK: The loop

  /// Waits for events and handles them; returns when the turn's work began.
  @discardableResult
  private mutating func turn(milliseconds: Int32) throws(BenchError) -> UInt64 {
    let count = epoll.wait(milliseconds: milliseconds)
    lastEvents = count
    let now = Clock.now()
    for index in 0..<count {
      let (token, ready) = epoll.event(index)
      if Token.isBackend(token) {
        try backend!.handle(token, ready, epoll)
      } else {
        try clients.handle(Token.index(token), ready, now: now, epoll)
      }
    }
    return now
  }
}

/// Everything that is read at both ends of the measurement.
struct Reading {
  var time: UInt64
  var relay: ProcessSample?
  var generator: ProcessSample
  var machine: MachineSample

  static func take(_ plan: EchoPlan) throws(BenchError) -> Reading {
    Reading(
      time: Clock.now(),
      relay: try plan.relayPID.map { pid throws(BenchError) in try ProcessSample.take(pid) },
      generator: try ProcessSample.take(getpid()), machine: try MachineSample.take())
  }
}
