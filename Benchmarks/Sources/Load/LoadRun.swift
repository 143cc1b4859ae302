import Glibc

/// One measurement, start to end. Clients and backend share one thread and one epoll instance unless the plan gives the
/// backend its own: on two CPUs, of which the relay has one, a third busy thread would only take turns with the relay.
public struct LoadRun: ~Copyable {
  private let plan: LoadPlan
  private let epoll: Epoll
  private var clients: LoadClients
  private var backend: LoadBackend?
  private var backendThread: BackendThread?
  /// Events of the latest turn.
  private var lastEvents = 0

  public static func measure(_ plan: LoadPlan) throws(BenchError) -> LoadReport {
    // A proxy has a connection for each client at this end too.
    try OpenFiles.require(plan.isPlain && plan.backend != nil ? 2 * plan.clients : plan.clients)
    var run = LoadRun(plan, epoll: try Epoll(), relay: try plan.relay.resolved())
    try run.openBackend()
    return try run.run()
  }

  private init(_ plan: LoadPlan, epoll: consuming Epoll, relay: SocketAddress) {
    self.plan = plan
    self.epoll = epoll
    clients = LoadClients(plan, address: relay)
  }

  private mutating func openBackend() throws(BenchError) {
    guard let address = plan.backend else { return }
    if plan.backendThread {
      let thread = BackendThread(
        address: address, congestionControl: plan.congestionControl, isPlain: plan.isPlain, clients: plan.clients)
      try thread.start()
      backendThread = thread
    } else {
      backend = try LoadBackend.open(
        at: address, plan.backendBehaviour, connections: plan.isPlain ? plan.clients : 0,
        largest: plan.sizes.largest, multicasts: plan.isMulticast ? plan.clients : 0,
        congestionControl: plan.congestionControl, epoll)
    }
  }

  private mutating func run() throws(BenchError) -> LoadReport {
    var report = LoadReport(plan)
    try awaitBackendConnection()
    try idle(seconds: 0.05)

    let idleSample = try plan.relayPID.map { pid throws(BenchError) in try ProcessSample.take(pid) }
    let connectStart = Clock.now()
    try connectAll()
    report.connectSeconds = seconds(since: connectStart)
    try idle(seconds: 0.1)
    if let pid = plan.relayPID, let idleSample {
      report.relayIdleBytes = idleSample.residentBytes
      report.relayConnectedBytes = try ProcessSample.take(pid).residentBytes
    }

    if plan.mode == .idle {
      report.fill(packets: 0, bytes: 0, try measure { run throws(BenchError) in try run.idle(for: run.plan.length) })
      clients.start(epoll)
    } else {
      clients.start(epoll)
      try load(until: plan.warmup)
      clients.startTiming(epoll)
      let (firstPacket, firstByte) = (clients.packets, clients.bytes)
      let before = backend?.sent
      var stalled = false
      let use = try measure { run throws(BenchError) in stalled = try run.load(for: run.plan.length) }
      clients.stopTiming()
      report.fill(packets: clients.packets - firstPacket, bytes: clients.bytes - firstByte, use)
      if plan.mode.isFromBackend, let before, let after = backend?.sent { report.backend = after - before }
      report.stalled = stalled
      if plan.countsSystemCalls { try countSystemCalls(&report) }
      if plan.samplesUserShare { try sampleUserShare(&report) }
    }
    clients.stop(epoll)
    report.drainSeconds = try drain()

    clients.countLost()
    report.faults = clients.faults
    // Only now: at a rate, the relay may have held back until the drain what was due before.
    report.latency = clients.clock.latency
    report.totalPackets = clients.packets
    try leave()
    report.complaints = backendThread?.stop() ?? backend?.complaints ?? []
    return report
  }

  /// What was used while `phase` ran.
  private mutating func measure(
    _ phase: (inout LoadRun) throws(BenchError) -> Void
  ) throws(BenchError) -> (from: Reading, to: Reading) {
    let start = try Reading.take(plan.relayPID)
    try phase(&self)
    return (start, try Reading.take(plan.relayPID))
  }

  /// The relay's system calls a packet, over a short time: while they are counted each of them costs more.
  private mutating func countSystemCalls(_ report: inout LoadReport) throws(BenchError) {
    guard let pid = plan.relayPID, let counter = SystemCallCounter(pid) else {
      report.missingFigures.append("the relay's system calls were not counted: that \(LoadRun.neededRight)")
      return
    }
    let first = clients.packets
    counter.start()
    try load(until: 0.3)
    let calls = counter.count
    let packets = clients.packets - first
    guard packets > 0 else {
      report.missingFigures.append("the relay's system calls were not counted: nothing came meanwhile")
      return
    }
    report.systemCallsPerPacket = Double(calls) / Double(packets)
  }

  private mutating func sampleUserShare(_ report: inout LoadReport) throws(BenchError) {
    guard let pid = plan.relayPID, let sampler = UserShareSampler(pid) else {
      report.missingFigures.append("the relay's time in user space was not sampled: that \(LoadRun.neededRight)")
      return
    }
    sampler.start()
    try load(until: 0.3)
    report.userShare = sampler.share
    if report.userShare == nil {
      report.missingFigures.append("the relay's time in user space was not sampled: it did not run meanwhile")
    }
  }

  /// What counting and sampling take, beside the relay's process.
  private static let neededRight = "needs root, or the right to read the events of the relay's process (--relay-pid)"

  // MARK: Phases

  private mutating func awaitBackendConnection() throws(BenchError) {
    // A proxy dials when a client comes.
    guard let address = plan.backend, !plan.isPlain else { return }
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

  private mutating func idle(for length: LoadPlan.Length) throws(BenchError) {
    guard case .seconds(let seconds) = length else { return }
    try idle(seconds: seconds)
  }

  private mutating func load(until seconds: Double) throws(BenchError) {
    let end = Clock.now() + Clock.nanoseconds(seconds)
    while try turn(milliseconds: 10) < end {}
  }

  /// The measurement itself; true when it ended early because nothing came back any more.
  private mutating func load(for length: LoadPlan.Length) throws(BenchError) -> Bool {
    var lastProgress = Clock.now()
    var lastCount = clients.packets
    var progress = plan.showsProgress ? Progress(plan, clients) : nil
    let patience = Clock.nanoseconds(plan.drainTimeout)
    let (end, goal): (UInt64, UInt64) =
      switch length {
      case .seconds(let seconds): (lastProgress + Clock.nanoseconds(seconds), .max)
      case .packets(let count): (.max, lastCount + count)
      }
    while true {
      let now = try turn(milliseconds: 100)
      progress?.show(clients, now)
      if now >= end || clients.packets >= goal { return false }
      if clients.packets != lastCount {
        (lastProgress, lastCount) = (now, clients.packets)
      } else if now - lastProgress > patience {
        return true
      }
    }
  }

  /// Waits for every echo that is under way; gives up when none has come for the drain timeout.
  private mutating func drain() throws(BenchError) -> Double {
    let start = Clock.now()
    var lastProgress = start
    var lastCount = clients.packets
    while !clients.isDrained() {
      let now = try turn(milliseconds: 10)
      if clients.packets != lastCount {
        (lastProgress, lastCount) = (now, clients.packets)
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

  /// Waits for events, or until a packet is due, and does what there is to do; returns when the turn's work began.
  @discardableResult
  private mutating func turn(milliseconds: UInt64) throws(BenchError) -> UInt64 {
    var timeout = milliseconds * 1_000_000
    if let next = clients.untilNext(Clock.now()) { timeout = min(timeout, next) }
    let count = epoll.wait(nanoseconds: timeout)
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
    backend?.deliver(to: &clients, now: now)
    clients.release(now)
    if plan.mode.isFromBackend {
      backend?.sendDue(to: &clients, now: now, epoll)
    } else {
      clients.sendDue(now, epoll)
    }
    return now
  }
}
