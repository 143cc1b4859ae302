import Glibc
import VoltlaneCrypto

@testable import Relay

/// A whole relay in one thread: its hosts take turns over a scripted kernel, a scripted network and a scripted clock,
/// all driven by one seed. How it works:
///
/// - Each host has a ``ScriptedKernel``. What it submits takes effect at its next enter; receives and sends take effect
///   at once. Both are cut short at random places, and now and then answer ENOBUFS or "no room".
/// - ``step()`` gives one turn to a host that is awake, has completions, or whose deadline has passed, chosen at
///   random.
///   When there is none, the clock jumps to the earliest deadline.
/// - Everything the kernel is asked and answers goes into ``trace``: the same seed must give the same trace.
final class Simulation {
  private(set) var now: UInt64 = 1_000_000_000
  private(set) var trace: [String] = []
  let seed: UInt64
  private var turns = 0
  var random: SeededRandom
  /// How rough the kernel is: one call in so many is cut short or refused; 0 for never.
  var roughness = 4
  /// Whether what happens is noted, which takes most of a run's time.
  var keepsTrace = true

  private var sockets: [SimulatedSocket] = []
  private var completions: [[Completion]] = []
  /// When each host wakes by itself; nil while it is awake.
  private var sleepers: [UInt64?] = []
  /// The addresses that each listener does not hear.
  var shunned: [Int32: Set<AddressKey>] = [:]
  private var acceptors: [(listener: Int32, host: Int, token: Token)] = []
  /// Whether each host waits for the control thread.
  private(set) var controlIsWatched: [Bool] = []
  private var relayRandom: SeededRandom
  /// The sockets that the firehose has dialled, newest last; and whether the backend takes connections.
  private(set) var backends: [SimulatedSocket] = []
  var backendListens = true
  /// How looking the backend's name up ends, how often it was asked for, and whether an address is known.
  var lookUp = LookUp.found
  var lookUps = 0
  var hasAddress = true
  /// The next dial connects the relay's socket to itself.
  var nextDialLeadsToItself = false
  /// How many sends came through a ring rather than by a call of their own.
  private(set) var queuedSends = 0
  /// How often the control thread was called.
  var controlWakes = 0
  /// The handshake workers get no turns.
  var holdWorkers = false
  /// What the sockets of backends that are dialled from now on take.
  var roomOfNewBackends = Int.max

  let arena = Arena()
  let identity: SecretKey
  let control: ControlBlock
  let parts: RelayParts<ScriptedKernel>
  private var hosts: [SimulatedHost] = []

  static let listenerBase: Int32 = 10_000

  init(
    seed: UInt64, shards: Int = 2, firehoseCore: FirehoseCore = .own,
    configure: (inout RelayConfiguration) -> Void = { _ in }
  ) throws {
    self.seed = seed
    random = SeededRandom(seed: seed)
    relayRandom = SeededRandom(seed: seed ^ 0x5eed)
    var configuration = RelayConfiguration(listeners: [], backend: .unix(path: "/simulated"))
    configuration.shards = shards
    configuration.threads = .fixed(shards)
    configuration.firehoseCore = firehoseCore
    configuration.eventLevel = .error
    configure(&configuration)
    control = ControlBlock(arena, signal: -1)
    let placement = Placement(configuration)
    var secrets = SeededRandom(seed: seed ^ 0x1d5)
    let secretKey = Array(1...32 as ClosedRange<UInt8>)
    identity = try SecretKey(bytes: secretKey.span.bytes)
    parts = try RelayParts<ScriptedKernel>(
      configuration, identity,
      listeners: (0..<shards).map { [(Simulation.listenerBase + Int32($0), false)] }, placement, arena, control,
      random: { secrets.next() }, now: now)
    for index in placement.hosts.indices {
      completions.append([])
      controlIsWatched.append(false)
      sleepers.append(nil)
      let own = parts.host(index)
      own.bell.ringDescriptor = Int32(index)
      hosts.append(
        SimulatedHost(Host(kernel: ScriptedKernel(self, host: index), parts: own, wakeSignal: -1, control: control)))
    }
    for host in hosts { host.start() }
  }

  // MARK: Running

  /// One turn of one host, or a jump of the clock. False when nothing will ever happen by itself.
  @discardableResult
  func step(until limit: UInt64 = .max) -> Bool {
    makeRoom()
    let runnable = hosts.indices.filter {
      !hosts[$0].isDone && !(holdWorkers && hosts[$0].hostsWorker)
        && (!completions[$0].isEmpty || (sleepers[$0].map { $0 <= now } ?? true))
    }
    guard !runnable.isEmpty else {
      let deadlines = hosts.indices.filter { !hosts[$0].isDone }.compactMap { sleepers[$0] }
      guard let next = deadlines.min(), next != .max, next <= limit else { return false }
      now = next
      note("clock \(now)")
      return true
    }
    let chosen = runnable[random.below(runnable.count)]
    note("turn \(chosen)")
    hosts[chosen].turn()
    checkInvariants(chosen)
    return true
  }

  /// What a shard holds between turns fits together. With hundreds of clients only now and then: it is all looked at.
  private func checkInvariants(_ host: Int) {
    turns += 1
    guard turns % (1 + sockets.count / 64) == 0 else { return }
    do {
      try hosts[host].checkInvariants()
    } catch {
      fatalError("seed \(seed), turn \(turns), host \(host): \(error)")
    }
  }

  /// Runs until nothing happens by itself before the clock would pass `time` from now.
  func settle(for time: UInt64 = 100_000_000) {
    let limit = now + time
    var steps = 0
    while step(until: limit) {
      steps += 1
      precondition(steps < 2_000_000, "the relay never comes to rest: it spins")
    }
    checkMemory()
  }

  /// Whatever happened: what is counted for clients is what they hold, to the byte, at the allocator.
  private func checkMemory() {
    guard hosts.allSatisfy({ !$0.isDone }) else { return }
    var held = CountedMemory()
    for shard in 0..<parts.table.shardCount { parts.table.shard(shard).role.countMemory(into: &held) }
    let counted = CountedMemory(
      waiting: parts.memory.waitingBytes, leaving: parts.memory.leavingBytes, missed: parts.missedBudget.charged,
      unfinished: parts.budget.charged, stale: parts.staleTotals.count)
    precondition(counted == held, "counted is \(counted), held is \(held)")
  }

  /// Runs, and moves the clock on to `time` from now.
  func pass(_ time: UInt64) {
    let target = now + time
    settle(for: time)
    now = target
    settle(for: 0)
  }

  /// The relay stands still: the clock goes on, and no host gets a turn, though its sleep may be over.
  func stop(for time: UInt64) {
    now += time
    note("stood still until \(now)")
  }

  /// Whether every role has done what it had to.
  var isFinished: Bool { control.rolesDone == parts.table.whereabouts.count }

  /// Has a role go to another host: a shard by its number, the firehose by the number behind those.
  func move(role: Int, to host: Int) {
    parts.table.whereabouts[role].wanted = host
    wakeHosts()
  }

  private func wakeHosts() {
    for host in hosts.indices { complete(host, Token(.control), 1, more: true) }
  }

  func drain() {
    control.phase = .draining
    wakeHosts()
  }

  func note(_ line: @autoclosure () -> String) { if keepsTrace { trace.append(line()) } }

  /// Lets go of the hosts, which hold this in turn, and of what was on its way: whoever runs very many has to.
  func end() {
    hosts = []
    parts.table.firehose().role.discardAnswers()
  }

  subscript(metric: Metric) -> UInt64 { parts.counters.reduce(0) { $0 + $1[metric] } }

  /// Sockets that the relay has not closed.
  var openSockets: Int { sockets.count { !$0.relayClosed } }

  // MARK: The test's side of the network

  /// A client connects; the listener's shard is chosen by `shard`.
  func connect(shard: Int, address: ClientAddress? = nil) -> SimulatedSocket {
    let socket = makeSocket()
    if let address { socket.peerAddress = address }
    guard let acceptor = acceptors.first(where: { $0.listener == Simulation.listenerBase + Int32(shard) }) else {
      fatalError("shard \(shard) does not accept")
    }
    socket.isUnheard = shunned[acceptor.listener]?.contains(socket.peerAddress.key) ?? false
    if !socket.isUnheard { complete(acceptor.host, acceptor.token, socket.descriptor, more: true) }
    return socket
  }

  func acceptFails(shard: Int, errno: Int32) {
    let index = acceptors.firstIndex { $0.listener == Simulation.listenerBase + Int32(shard) }!
    let acceptor = acceptors.remove(at: index)
    complete(acceptor.host, acceptor.token, -errno, more: false)
  }

  /// The kernel ends everything that goes on until it is ended, as it may where it is short of memory.
  func endStandingOperations(errno: Int32) {
    for socket in sockets where !socket.relayClosed {
      guard let poll = socket.readablePoll else { continue }
      socket.readablePoll = nil
      complete(poll.host, Token(bits: poll.token), -errno, more: false)
    }
    for acceptor in acceptors { complete(acceptor.host, acceptor.token, -errno, more: false) }
    acceptors = []
    for host in hosts.indices where controlIsWatched[host] {
      controlIsWatched[host] = false
      complete(host, Token(.control), -errno, more: false)
    }
  }

  func accepts(shard: Int) -> Bool { acceptors.contains { $0.listener == Simulation.listenerBase + Int32(shard) } }

  /// Bytes of the other end arrive.
  func write(_ bytes: [UInt8], to socket: SimulatedSocket) {
    socket.incoming += bytes
    wake(socket)
  }

  func finish(_ socket: SimulatedSocket) {
    socket.peerFinished = true
    wake(socket)
  }

  /// The other end closes its socket, with nothing unread.
  func close(_ socket: SimulatedSocket) {
    socket.peerClosed = true
    socket.isAnswered = socket.isLocal
    finish(socket)
  }

  func reset(_ socket: SimulatedSocket) {
    socket.peerReset = true
    socket.incoming = []
    wake(socket)
    if let poll = socket.writablePoll {
      socket.writablePoll = nil
      complete(poll.host, Token(bits: poll.token), Int32(POLLERR | POLLHUP | POLLOUT), more: false)
    }
  }

  /// The socket takes `count` more bytes.
  func allow(_ count: Int, _ socket: SimulatedSocket) {
    socket.room = socket.room == .max || count == .max ? count : socket.room + count
    makeRoom()
  }

  private func wake(_ socket: SimulatedSocket) {
    guard let poll = socket.readablePoll, !socket.relayClosed else { return }
    complete(poll.host, Token(bits: poll.token), socket.pollBits, more: true)
  }

  /// Sockets with room tell who waits for it.
  private func makeRoom() {
    for socket in sockets where socket.room > 0 {
      guard let poll = socket.writablePoll else { continue }
      socket.writablePoll = nil
      complete(poll.host, Token(bits: poll.token), Int32(POLLOUT), more: false)
    }
  }

  private func makeSocket() -> SimulatedSocket {
    let socket = SimulatedSocket(Int32(sockets.count))
    sockets.append(socket)
    return socket
  }

  // MARK: The relay's side

  func socket(_ descriptor: Int32) -> SimulatedSocket {
    let socket = sockets[Int(descriptor)]
    precondition(!socket.relayClosed, "socket \(descriptor) is used after its close")
    return socket
  }

  func complete(_ host: Int, _ token: Token, _ result: Int32, more: Bool) {
    completions[host].append(Completion(token: token, result: result, more: more))
  }

  func hasCompletions(_ host: Int) -> Bool { !completions[host].isEmpty }

  func takeCompletions(_ host: Int) -> [Completion] {
    let count = min(completions[host].count, 1 + random.below(64))
    let taken = Array(completions[host].prefix(count))
    completions[host].removeFirst(count)
    for completion in taken { note("  <- \(completion.token.purpose) \(completion.token.index) \(completion.result)") }
    return taken
  }

  func sleeps(_ host: Int, until deadline: UInt64) { sleepers[host] = deadline }
  func staysAwake(_ host: Int) { sleepers[host] = nil }

  func ring(_ host: Int32) {
    note("  bell \(host)")
    complete(Int(host), Token(.bell), 0, more: true)
  }

  func start(_ operation: KernelOperation, _ token: Token, _ host: Int) {
    switch operation {
    case .accept(let listener):
      note("  accept \(listener)")
      acceptors.append((listener, host, token))
    case .pollReadable(let descriptor) where descriptor < 0:
      controlIsWatched[host] = true
    case .pollReadable(let descriptor):
      note("  pollReadable \(descriptor)")
      let socket = socket(descriptor)
      socket.readablePoll = (host, token.bits)
      if socket.pollBits != 0 { wake(socket) }
    case .pollWritable(let descriptor):
      note("  pollWritable \(descriptor)")
      socket(descriptor).writablePoll = (host, token.bits)
    case .send(let descriptor, let bytes, let count):
      queuedSends += 1
      let sent = send(descriptor, bytes, count)
      if sent != count { complete(host, token, Int32(sent), more: false) }
    case .cancel(let target, _):
      note("  cancel \(target.purpose) \(target.index)")
      // Tokens are a host's own.
      for acceptor in acceptors where acceptor.token == target && acceptor.host == host {
        complete(host, target, -ECANCELED, more: false)
      }
      acceptors.removeAll { $0.token == target && $0.host == host }
      for socket in sockets {
        if let poll = socket.readablePoll, poll == (host, target.bits) { socket.readablePoll = nil }
        if let poll = socket.writablePoll, poll == (host, target.bits) { socket.writablePoll = nil }
      }
    case .close(let descriptor):
      note("  close \(descriptor)")
      guard descriptor < Simulation.listenerBase else { return }
      let socket = socket(descriptor)
      precondition(socket.readablePoll == nil && socket.writablePoll == nil, "a poll keeps socket \(descriptor) open")
      socket.relayClosed = true
      // The kernel resets a connection that is closed with unread input.
      if socket.available > 0 { socket.relayReset = true }
    }
  }

  func receive(_ descriptor: Int32, _ bytes: UnsafeMutableRawPointer, _ count: Int) -> Int {
    let socket = socket(descriptor)
    let result: Int
    if count == 0 {
      result = 0
    } else if socket.peerReset {
      result = -Int(ECONNRESET)
    } else if socket.available == 0 {
      // Only TCP tells of the reset.
      result = socket.isAnswered && !socket.isLocal ? -Int(EPIPE) : socket.peerFinished ? 0 : -Int(EAGAIN)
    } else if roughness > 0, random.oneIn(8 * roughness) {
      result = -Int(ENOBUFS)
    } else {
      let most = min(count, socket.available)
      result = roughness > 0 && random.oneIn(roughness) ? 1 + random.below(most) : most
      socket.take(result, into: bytes)
      if result < count { remind(descriptor) }
    }
    note("  receive \(descriptor) \(count) = \(result)")
    return result
  }

  /// After a short read, which says that there was no more: as if the rest had come a moment later.
  func remind(_ descriptor: Int32) {
    let socket = socket(descriptor)
    if socket.available > 0 || socket.peerFinished { wake(socket) }
  }

  func send(_ descriptor: Int32, _ bytes: UnsafeRawPointer, _ count: Int) -> Int {
    let socket = socket(descriptor)
    precondition(!socket.relayFinished, "a send after the FIN of socket \(descriptor)")
    let result: Int
    if socket.peerReset {
      result = -Int(ECONNRESET)
    } else if socket.isAnswered {
      result = -Int(EPIPE)
    } else if socket.room == 0 || roughness > 0 && random.oneIn(4 * roughness) {
      result = -Int(EAGAIN)
    } else {
      let most = min(count, socket.room)
      result = roughness > 0 && random.oneIn(roughness) ? 1 + random.below(most) : most
      socket.outgoing += UnsafeRawBufferPointer(start: bytes, count: result)
      if socket.room != .max { socket.room -= result }
      if socket.peerClosed {
        socket.isAnswered = true
        wake(socket)
      }
    }
    note("  send \(descriptor) \(count) = \(result)")
    return result
  }

  func shutdownSending(_ descriptor: Int32) {
    note("  shutdown \(descriptor)")
    let socket = socket(descriptor)
    socket.relayFinished = true
    if socket.peerFinished { wake(socket) }
  }

  func dial() -> Int32 {
    let socket = makeSocket()
    socket.room = roomOfNewBackends
    backends.append(socket)
    note("  dial \(socket.descriptor)")
    return socket.descriptor
  }

  func dialResult(_ descriptor: Int32) -> DialResult {
    if nextDialLeadsToItself {
      nextDialLeadsToItself = false
      return .itself
    }
    return backendListens ? .connected : .failed(errno: ECONNREFUSED)
  }

  func randomForRelay() -> UInt64 { relayRandom.next() }
}

/// A host behind a reference, because arrays hold none that cannot be copied.
final class SimulatedHost {
  private var host: Host<ScriptedKernel>
  private(set) var isDone = false
  let hostsWorker: Bool

  init(_ host: consuming Host<ScriptedKernel>) {
    hostsWorker = host.hostsWorker
    self.host = host
  }

  func start() { host.start() }

  func checkInvariants() throws(InvariantViolation) { try host.checkInvariants() }

  func turn() {
    host.kernel.wake()
    host.turn()
    if host.isDone() { isDone = true }
    host.sleep()
  }
}
