import CLinux
import Glibc
import Synchronization
import VoltlaneCrypto
import VoltlaneText
import VoltlaneWire

/// The relay: its parts and how they are joined.
///
///     clients --> shard 0..N   == uplink lane ==>    firehose core --> backend
///             <--              <== downlink lane ==                <--
///                  |  ^
///                  v  | job lanes
///           handshake workers
///
/// A packet's way up: ``Host/turn()`` -> ``Shard/readClients(_:)`` -> ``UplinkProducer`` -> ``Firehose/transmit(_:)``.
/// And down: ``Firehose/receive(_:)`` -> ``Descriptor`` -> ``Shard/deliver(_:)``.
///
/// The caller is the control thread: it waits on ``signal``, takes events, and decides when the relay ends. This is not
/// thread-safe: only one thread may call.
public final class Relay {
  public private(set) var configuration: RelayConfiguration
  /// Where clients connect, with the actual ports if 0 was asked for.
  public let endpoints: [Endpoint]
  /// How listening differs from what was asked for, in words.
  public let listenerWarnings: [String]
  /// Which Linux this is, and how its threads reach it, for the log.
  public let kernelRelease = RingRefusal.kernelRelease()
  public let kernel: KernelFinding

  private let arena = Arena()
  private let control: ControlBlock
  private let placement: Placement
  private var sockets: ListeningSockets
  private var threads: [OSThread] = []
  private var resolver: Resolver?
  private var eventLanes: [RecordConsumerBox] = []
  /// nil before the start.
  private var digest: Digest?
  private var digestDeadline = UInt64.max
  private var settingsLanes: [SettingsProducer] = []
  /// What unfinished and missed packets may hold, and everything together; nil before the start.
  private var budgets: (unfinished: SharedBudget, missed: SharedBudget, all: MemoryGauge)?
  /// The settings that hosts may still have to take, the newest last.
  private var admissionLimits: [AdmissionLimits] = []
  private var counters: [Counters] = []
  /// What can be seen of the relay from any thread; nil before the start.
  public private(set) var observer: RelayObserver?
  /// nil before the start.
  private var inquiries: Inquiries?
  /// An eventfd for each host, to wake it from this thread.
  private var wakeSignals: [Int32] = []
  /// Closes what no thread has closed, once there are none.
  private var closeOrphans: () -> Void = {}
  /// For each host, what it takes of the CPUs.
  private(set) var meters: [ThreadMeter] = []
  /// nil where nothing moves.
  private var balancer: Balancer?
  /// Where each role is: the shards, then the firehose; empty before the start.
  private var whereabouts: [Whereabouts] = []
  private var ringRefusalsTold: UInt64 = 0
  /// For each thread, the last call that it has heard.
  private var heardCalls: [SharedWord] = []

  /// Looks up names and opens the listening sockets; nothing runs until ``start(identity:)``. Throws ``RelayError``.
  public convenience init(configuration: RelayConfiguration) throws(RelayError) {
    try self.init(configuration: configuration, listeners: ListenerAddresses(configuration.listeners))
  }

  /// The same after the names of the configuration's listeners have been looked up.
  public init(configuration: RelayConfiguration, listeners: ListenerAddresses) throws(RelayError) {
    self.configuration = configuration
    kernel = try KernelFinding(configuration)
    let signal = voltlane_eventfd()
    guard signal >= 0 else { throw .system(call: "eventfd", errno: -signal) }
    control = ControlBlock(arena, signal: signal)
    placement = Placement(configuration)
    sockets = try ListeningSockets(configuration, listeners)
    endpoints = sockets.endpoints
    listenerWarnings = sockets.warnings
  }

  deinit {
    stop()
    for signal in wakeSignals { close(signal) }
    close(control.signal)
  }

  // MARK: Starting

  /// Starts every thread, and returns once each has its kernel. `identity` is the relay's key. Throws ``RelayError`` if
  /// the system lacks something, after the threads that did start have ended.
  public func start(identity: SecretKey) throws(RelayError) {
    do throws(RelayError) {
      switch kernel.interface {
      case .uring: try start(RelayParts<RingKernel>(configuration, identity, sockets, placement, arena, control))
      case .epoll: try start(RelayParts<EpollKernel>(configuration, identity, sockets, placement, arena, control))
      }
      voltlane_keep_room()
    } catch {
      stop()
      throw error
    }
  }

  private func start<K: SystemKernel & ~Copyable>(_ parts: RelayParts<K>) throws(RelayError) {
    // From here on each shard closes its listeners.
    whereabouts = parts.table.whereabouts
    closeOrphans = parts.table.closeOrphans
    heardCalls = parts.table.calls
    meters = placement.hosts.map { _ in ThreadMeter(arena) }
    counters = parts.counters
    observer = RelayObserver(parts, placement, control)
    inquiries = Inquiries(parts.queries, parts.ids)
    eventLanes = parts.events.map(RecordConsumerBox.init)
    digest = parts.digest
    settingsLanes = parts.settings.map(SettingsProducer.init)
    budgets = (parts.budget, parts.missedBudget, parts.memory)
    try startThreads(parts)
    if !configuration.threads.isFixed, placement.shardHosts > 1 {
      let threads = Array(meters[..<placement.shardHosts])
      balancer = Balancer(
        LoadMeter(
          threads: threads, counters: counters, whereabouts, firehoseMoves: configuration.firehoseCore == .moving,
          cpuTime: configuration.cpuTime),
        whereabouts)
    }
  }

  private func startThreads<K: SystemKernel & ~Copyable>(_ parts: RelayParts<K>) throws(RelayError) {
    let resolver = try Resolver(backend: configuration.backend)
    self.resolver = resolver
    let listeners = endpoints.compactMap(SocketAddress.init(numeric:))
    // The next time, a name may lead elsewhere.
    if let backend = SocketAddress(numeric: configuration.backend),
      let own = listeners.first(where: { backend.leads(to: $0) })?.endpoint
    {
      throw .address(configuration.backend, reason: "the backend is the relay itself, which listens on \(own)")
    }
    let setup = KernelSetup(
      resolver: resolver, congestionControl: configuration.congestionControl,
      keepalive: configuration.keepalive.seconds, coalesceTime: configuration.coalesceTime.nanoseconds,
      control: control, ringMemory: configuration.ringMemory, listeners: listeners)
    let gate = StartGate()
    for (index, thread) in placement.hosts.enumerated() {
      let wake = voltlane_eventfd()
      guard wake >= 0 else { throw .system(call: "eventfd", errno: -wake) }
      wakeSignals.append(wake)
      let parts = parts.host(index)
      let meter = meters[index]
      let control = control
      threads.append(
        try OSThread(name: thread.name) {
          voltlane_prepare_thread_for_crash()
          defer { control.addEndedThread() }
          meter.begin()
          do throws(RelayError) {
            if let cpu = thread.cpu {
              let result = voltlane_pin_thread(Int32(cpu))
              guard result == 0 else { throw .cpu(cpu, errno: -result) }
            }
            var host = Host(kernel: try K(setup), parts: parts, wakeSignal: wake, control: control)
            parts.bell.ringDescriptor = host.kernel.bellDescriptor
            host.meter = meter
            gate.report(nil, control)
            host.run()
          } catch {
            gate.report(error, control)
          }
        })
    }
    if let error = gate.wait(for: threads.count, control) { throw error }
  }

  // MARK: While it runs

  /// A descriptor that becomes readable when there are events, or when ``isFinished`` may have changed.
  public var signal: Int32 { control.signal }

  /// Gives each event since the last call to `body`, and resets ``signal``.
  public func takeEvents(_ body: (Event) -> Void) {
    var count: UInt64 = 0
    _ = Glibc.read(control.signal, &count, 8)
    for lane in eventLanes { lane.drain(body) }
    if let inquiries { wake(shards: inquiries.takeReplies()) }
    let (refusals, errno) = control.ringRefusal
    if refusals != ringRefusalsTold { body(.ringRefused(errno: errno, count: refusals &- ringRefusalsTold)) }
    ringRefusalsTold = refusals
    let now = ThreadClock.machineNow()
    digestDeadline = digest?.tell(now: now, body) ?? .max
    // Roles stay where they are once the relay ends.
    if control.phase == .running, let move = balancer?.look(now: now) { self.move(role: move.role, to: move.host) }
    if balancer?.takeIdlenessUnknown() == true { body(.idlenessUnknown) }
  }

  /// Has a role go to another host; it does so as soon as nothing keeps it. Not while it is on its way to one.
  func move(role: Int, to host: Int) {
    whereabouts[role].wanted = host
    voltlane_eventfd_signal(wakeSignals[whereabouts[role].host])
  }

  /// Whether every role is where it is wanted.
  var isSettled: Bool { whereabouts.allSatisfy { $0.host == $0.wanted } }

  /// How long from now ``takeEvents(_:)`` should be called again, even if ``signal`` says nothing: frequent events are
  /// reported once a second, and a few times a second the relay looks whether it has as many threads as it needs. nil
  /// if there is no need.
  public var nextEvents: Duration? {
    let balance = control.phase == .running ? balancer?.due ?? .max : .max
    let deadline = min(digestDeadline, balance)
    guard deadline != .max else { return nil }
    let now = ThreadClock.machineNow()
    return .nanoseconds(Int64(clamping: deadline > now ? deadline - now : 0))
  }

  /// Gives what is left. To be called after ``stop()``.
  public func takeLastEvents(_ body: (Event) -> Void) {
    takeEvents(body)
    digest?.tellRest(body)
    digestDeadline = .max
  }

  /// Each thread that serves clients or the backend: its name, what of the relay it has at the moment, and its CPU time
  /// so far. A role that is just moving is listed with the thread that it leaves.
  public var hosting: [(thread: String, roles: [String], cpuTime: Duration)] {
    placement.hosts.indices.prefix(meters.isEmpty ? 0 : placement.roleHosts).map { host in
      let cpuTime = Duration.nanoseconds(Int64(clamping: meters[host].times.cpu))
      return (placement.hosts[host].name, placement.roles(at: host, whereabouts), cpuTime)
    }
  }

  /// What all threads together have counted.
  public subscript(metric: Metric) -> UInt64 {
    counters.reduce(0) { $0 &+ $1[metric] }
  }

  // MARK: Signs of life

  /// Asks every thread for a sign of life. A thread gives it in its next turn, unless something holds it up.
  public func callThreads() {
    control.call &+= 1
    wakeHosts()
  }

  /// The threads that have not answered the last of these calls.
  public var silentThreads: [String] {
    let call = control.call
    return heardCalls.indices.filter { heardCalls[$0].published != call }.map { placement.hosts[$0].name }
  }

  // MARK: Questions

  /// The machine's clock, by which ``EndedRow/time`` goes.
  public static var now: UInt64 { ThreadClock.machineNow() }

  /// Asks every shard, or the one that an id belongs to, without stopping any. `row` gets each line of the answer as it
  /// comes, from ``takeEvents(_:)``, and `finished` how many sessions were ended, once all shards have answered. No
  /// shard gives more than `most` rows. Neither is called any more once the relay has been stopped.
  public func ask(
    _ question: ShardQuestion, most: Int = .max, row: @escaping (ShardRow) -> Void = { _ in },
    finished: @escaping (_ ended: Int) -> Void
  ) {
    askWhile(
      question, most: most,
      row: { line in
        row(line)
        return true
      }, finished: finished)
  }

  /// The same, where `row` says after each line whether more is wanted of the shard that gave it.
  public func askWhile(
    _ question: ShardQuestion, most: Int = .max, row: @escaping (ShardRow) -> Bool,
    finished: @escaping (_ ended: Int) -> Void
  ) {
    if let inquiries { wake(shards: inquiries.ask(question, most: most, row: row, finished: finished)) }
  }

  /// Ends those of these sessions that still live, a slice a turn. The same as asking for each with
  /// ``ShardQuestion/end(id:_:)``.
  public func end(_ ids: [UInt64], _ reason: CloseReason, finished: @escaping (_ ended: Int) -> Void) {
    if let inquiries { wake(shards: inquiries.end(ids, reason, finished: finished)) }
  }

  /// Ends those of these sessions that still live, because the relay drains, for as long as it accepts nobody:
  /// ``acceptAgain()`` takes it back for all that have not gone.
  public func letGo(_ ids: [UInt64]) {
    if let inquiries { wake(shards: inquiries.letGo(ids)) }
  }

  /// Lets go of the `count` sessions that have been idle for the longest.
  public func endIdlest(_ count: Int, _ reason: CloseReason, finished: @escaping (_ ended: Int) -> Void) {
    var sessions: [(id: UInt64, idle: UInt64)] = []
    ask(.clients(ClientFilter())) { row in
      if case .client(let client) = row { sessions.append((client.id, client.idle)) }
    } finished: { [weak self] _ in
      sessions.sort { $0.idle > $1.idle }
      self?.end(sessions.prefix(count).map(\.id), reason, finished: finished)
    }
  }

  // MARK: Other settings

  /// Continues with the limits, times and event level of `new`, on all threads, each from its next turn on; nobody is
  /// dropped. What is fixed at the start stays as it is: listeners, backend, threads, the largest packet, and how
  /// sockets are set up. Call it between ``start(identity:)`` and ``drain()``. False if the threads have not taken the
  /// last settings yet; nothing is changed then.
  public func reconfigure(_ new: RelayConfiguration) -> Bool {
    guard settingsLanes.allSatisfy({ $0.hasRoom }) else { return false }
    configuration = new.reloaded(over: configuration)
    budgets?.unfinished.limit = configuration.assemblyBudget
    budgets?.missed.limit = configuration.missedPacketsTotal
    budgets?.all.setBudget(configuration.protection.memoryBudget)
    if settingsLanes.allSatisfy(\.isTaken) { admissionLimits.removeAll() }
    let limits = AdmissionLimits(configuration.protection)
    admissionLimits.append(limits)
    for lane in settingsLanes { lane.push(HostSettings(configuration, limits)) }
    wakeHosts()
    return true
  }

  // MARK: Accepting

  /// Whether newcomers are accepted.
  public var accepts: Bool { control.accepts }

  /// Accepts nobody from now on; all else goes on. Call it between ``start(identity:)`` and ``drain()``.
  public func stopAccepting() {
    guard control.accepts, control.phase == .running else { return }
    control.accepts = false
    sockets.stopListening()
  }

  /// Accepts again after ``stopAccepting()``. Throws, and goes on accepting nobody, if somebody else listens there by
  /// now.
  public func acceptAgain() throws(RelayError) {
    guard !control.accepts, control.phase == .running else { return }
    try sockets.listenAgain(configuration)
    control.accepts = true
    wakeHosts()
  }

  // MARK: Ending

  /// Begins the orderly end: accepting stops, what clients sent is read, every session ends, and everything queued is
  /// handed over. ``isFinished`` says when that is done.
  public func drain() {
    guard control.phase == .running else { return }
    // First, so that a successor finds its paths free as soon as this relay serves nobody any more.
    sockets.removeFiles()
    control.phase = .draining
    wakeHosts()
  }

  /// Whether the backend was lost and the relay should end with it (`--backend-loss exit`): the caller drains, and
  /// exits with the code for that.
  public var isEndedByBackendLoss: Bool { control.exitRequested }

  /// Whether everything has been handed over.
  public var isFinished: Bool { control.rolesDone >= whereabouts.count }

  /// Asks all threads to end at once, even if they are not done. ``hasStopped`` says when ``stop()`` will no longer
  /// have to wait for them; ``signal`` becomes readable with each.
  public func beginStop() {
    control.phase = .stopping
    wakeHosts()
    resolver?.stop()
  }

  public var hasStopped: Bool { control.threadsEnded >= threads.count }

  /// Ends all threads at once, even if they are not done, and returns when they have ended.
  public func stop() {
    beginStop()
    for thread in threads { thread.join() }
    threads = []
    closeOrphans()
    closeOrphans = {}
    inquiries = nil
    if whereabouts.isEmpty { sockets.closeAll() } else { sockets.removeFiles() }
  }

  /// Wakes the hosts of these shards, which have been asked something.
  private func wake(shards: [Int]) {
    // A shard that moves meanwhile is asked at its new host: see ``RoleBell``.
    SharedWord.fence()
    for host in Set(shards.map { whereabouts[$0].host }) { voltlane_eventfd_signal(wakeSignals[host]) }
  }

  private func wakeHosts() {
    for signal in wakeSignals { voltlane_eventfd_signal(signal) }
  }
}

/// Waits until every thread has said that it runs, or why it does not.
private final class StartGate: Sendable {
  private let outcome = Mutex<(started: Int, error: RelayError?)>((0, nil))

  func report(_ error: RelayError?, _ control: ControlBlock) {
    outcome.withLock {
      $0.started += 1
      $0.error = $0.error ?? error
    }
    control.wake()
  }

  func wait(for count: Int, _ control: ControlBlock) -> RelayError? {
    while true {
      let (started, error) = outcome.withLock { $0 }
      if started == count { return error }
      var descriptor = pollfd(fd: control.signal, events: Int16(POLLIN), revents: 0)
      Glibc.poll(&descriptor, 1, 100)
      var value: UInt64 = 0
      _ = Glibc.read(control.signal, &value, 8)
    }
  }
}

/// The control thread's end of a host's lane of settings.
private final class SettingsProducer {
  private var lane: RecordProducer<HostSettings>

  init(_ lane: RecordLane<HostSettings>) { self.lane = RecordProducer(lane) }

  var hasRoom: Bool { lane.hasRoom() }

  /// Whether the host has taken all that was pushed.
  var isTaken: Bool { lane.oldestHeld() == nil }

  func push(_ settings: HostSettings) {
    lane.push(settings)
    _ = lane.publish()
  }
}

/// A role's event lane as the control thread reads it.
private final class RecordConsumerBox {
  private var lane: RecordConsumer<Event>

  init(_ lane: RecordLane<Event>) { self.lane = RecordConsumer(lane) }

  func drain(_ body: (Event) -> Void) {
    while let event = lane.pop() { body(event) }
  }
}
