/// One thread's part of the relay: a kernel, and the roles that run over it. The relay's only loop is here.
///
/// A shard and the firehose may share a host (with one or two CPUs) or have one each (with more). A test drives any
/// number of hosts in one thread, turn by turn.
struct Host<K: Kernel & ~Copyable>: ~Copyable {
  var kernel: K
  let shard: Hosted<Shard<K>>
  let firehose: Hosted<Firehose<K>>
  private let worker: Hosted<HandshakeWorker>
  let bell: Bell
  let control: ControlBlock
  private var settings: RecordConsumer<HostSettings>
  private let wakeSignal: Int32
  /// The control thread has called: there are new settings, or the relay is shutting down.
  private var isCalled = false
  private var draining = false
  private var saidDone = false

  /// Takes the roles out of `roles`. `wakeSignal` is an eventfd on which the control thread wakes the host.
  init(kernel: consuming K, roles: Roles<K>, wakeSignal: Int32, control: ControlBlock) {
    self.kernel = kernel
    shard = Hosted(roles.shard.take())
    firehose = Hosted(roles.firehose.take())
    worker = Hosted(roles.worker.take())
    bell = roles.bell
    settings = RecordConsumer(roles.settings)
    self.wakeSignal = wakeSignal
    self.control = control
  }

  /// The loop. It runs until the relay stops: when every host has handed everything over, or at once if told to.
  @inline(never)
  mutating func run() {
    start()
    while control.phase != .stopping {
      turn()
      if draining, !saidDone { sayWhenDone() }
      sleep()
    }
    finish()
  }

  @inline(never)
  mutating func start() {
    listenToControl()
    if firehose.isHere { firehose.role.start(&kernel) }
    if shard.isHere { shard.role.start(&kernel) }
  }

  /// The control thread wakes the host through this poll. What it wants is in the control block and the settings lane.
  @inline(never)
  private mutating func listenToControl() {
    kernel.submit(.pollReadable(wakeSignal), Token(.control))
  }

  /// Tells the control thread once the host's roles have nothing left to do. The loop continues until all other hosts
  /// are done too, because packets that still arrive for its clients have to be taken off the lanes.
  @inline(never)
  private mutating func sayWhenDone() {
    guard isDone() else { return }
    saidDone = true
    control.addDoneHost()
  }

  /// One turn. First it records what the kernel reports. Then it reads the clients, and sends the backend what they
  /// sent in one call. Last it reads the backend, and sends the clients what it sent. The order matters: a send wakes
  /// its receiver, so a backend that is woken at that point finds all of the turn's packets at once, and what was read
  /// leaves while it is still in the cache.
  mutating func turn() {
    bell.announceAwake()
    while let completion = kernel.next() { dispatch(completion) }
    if isCalled { answerControl() }
    if shard.isHere { shard.role.settleSends(&kernel) }
    if shard.isHere {
      shard.role.receiveMessages(&kernel)
      shard.role.readClients(&kernel)
      shard.role.publish(&kernel)
    }
    if firehose.isHere {
      firehose.role.transmit(&kernel)
      firehose.role.receive(&kernel)
      firehose.role.expire(&kernel)
    }
    if shard.isHere {
      shard.role.deliver(&kernel)
      shard.role.expire(&kernel)
      shard.role.publish(&kernel)
    }
    if worker.isHere { worker.role.work(&kernel) }
  }

  /// Starts the operations that the turn queued, and sleeps if no role has anything to do.
  mutating func sleep() {
    bell.announceSleep()
    if hasWork() {
      kernel.poll()
    } else {
      kernel.wait(until: nextDeadline())
    }
  }

  @inline(__always)
  private mutating func dispatch(_ completion: Completion) {
    switch completion.token.purpose {
    case .clientReadable, .clientWritable, .clientSent, .accept:
      if shard.isHere { shard.role.handle(completion, &kernel) }
    case .firehoseReadable, .firehoseWritable, .resolved:
      if firehose.isHere { firehose.role.handle(completion, &kernel) }
    case .control:
      isCalled = true
      if !completion.more { listenToControl() }
    case .unheardBell:
      kernel.ringAgain(completion)
    case .bell, .timeout, .none:
      // It only wakes the thread: every turn looks at the lanes anyway.
      break
    }
  }

  @inline(never)
  private mutating func answerControl() {
    isCalled = false
    while settings.available() > 0 {
      let new = settings.take()
      if shard.isHere { shard.role.apply(new, kernel) }
      if firehose.isHere { firehose.role.apply(new) }
      // Not before: once they are released, the relay may free what they point to.
      _ = settings.release()
    }
    guard control.phase != .running, !draining else { return }
    draining = true
    if shard.isHere { shard.role.beginDrain(&kernel) }
    if firehose.isHere { firehose.role.beginDrain(&kernel) }
  }

  private mutating func hasWork() -> Bool {
    // The firehose first: it announces what it waits for, and a shard on the same thread relies on that.
    if firehose.isHere, firehose.role.hasWork() { return true }
    if shard.isHere, shard.role.hasWork(besideFirehose: firehose.isHere) { return true }
    return worker.isHere && worker.role.hasWork()
  }

  private mutating func nextDeadline() -> UInt64 {
    min(
      shard.isHere ? shard.role.nextDeadline() : .max, firehose.isHere ? firehose.role.nextDeadline() : .max)
  }

  /// Whether the host has nothing left to do. A host that has only a worker stays until the relay stops, because shards
  /// may still need it.
  mutating func isDone() -> Bool {
    switch control.phase {
    case .running: false
    case .stopping: true
    case .draining:
      !hostsWorkerOnly() && (!shard.isHere || shard.role.isDrained()) && (!firehose.isHere || firehose.role.isDone())
    }
  }

  /// Whether the host runs only a handshake worker. Such a host stays until the relay stops.
  func hostsWorkerOnly() -> Bool { !shard.isHere && !firehose.isHere }

  /// Closes what is still open when the relay stops, and starts the closes that are queued.
  @inline(never)
  private mutating func finish() {
    _ = closeAccepted()
    if shard.isHere { shard.role.abortAll(&kernel) }
    if firehose.isHere { firehose.role.closeSocket(&kernel) }
    repeat { kernel.poll() } while closeAccepted()
  }

  /// Closes the sockets of accept completions that no turn has handled. True if there were any.
  private mutating func closeAccepted() -> Bool {
    var found = false
    while let completion = kernel.next() {
      guard completion.token.purpose == .accept, completion.result >= 0 else { continue }
      kernel.submit(.close(completion.result), Token(.none))
      found = true
    }
    return found
  }
}
