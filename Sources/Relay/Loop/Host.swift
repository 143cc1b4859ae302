/// A thread's part of the relay: a kernel and the roles that it hosts. The one loop is here.
///
/// A shard and the firehose may share a host (one or two CPUs) or have one each (more CPUs); a test drives any number
/// of hosts in one thread, turn by turn.
struct Host<K: Kernel & ~Copyable>: ~Copyable {
  var kernel: K
  let shard: Hosted<Shard<K>>
  private let firehose: Hosted<Firehose<K>>
  private let worker: Hosted<HandshakeWorker>
  let bell: Bell
  let control: ControlBlock
  private var settings: RecordConsumer<HostSettings>
  private let wakeSignal: Int32
  /// The control thread has called: there are settings, or the relay ends.
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

  /// The loop: until the relay stops, which it does when every host has handed everything over, or at once.
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

  /// The control thread wakes the host for what it then finds in the control block and among its settings.
  @inline(never)
  private mutating func listenToControl() {
    kernel.submit(.pollReadable(wakeSignal), Token(.control))
  }

  /// Tells the control thread when the host's roles have nothing left to do. The loop goes on until all others are done
  /// too: what still comes for its clients has to be taken from the lanes.
  @inline(never)
  private mutating func sayWhenDone() {
    guard isDone() else { return }
    saidDone = true
    control.addDoneHost()
  }

  /// One turn. What the kernel has to say is taken note of; clients are read, and what they sent leaves for the backend
  /// in one send; the backend is read, and clients get what it sent. In this order: a send wakes its receiver, and a
  /// backend that is woken first finds all of the turn's packets at once; and what was read leaves while the cache has
  /// it.
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

  /// Starts what the turn queued; sleeps if no role has anything to do.
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
      // What it is about stands in the lanes, which every turn looks at.
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
      // Only now: the relay may forget then what they point to.
      _ = settings.release()
    }
    guard control.phase != .running, !draining else { return }
    draining = true
    if shard.isHere { shard.role.beginDrain(&kernel) }
    if firehose.isHere { firehose.role.beginDrain(&kernel) }
  }

  private mutating func hasWork() -> Bool {
    // The firehose first: it says what it waits for, and then a shard on the same thread knows.
    if firehose.isHere, firehose.role.hasWork() { return true }
    if shard.isHere, shard.role.hasWork(besideFirehose: firehose.isHere) { return true }
    return worker.isHere && worker.role.hasWork()
  }

  private mutating func nextDeadline() -> UInt64 {
    min(
      shard.isHere ? shard.role.nextDeadline() : .max, firehose.isHere ? firehose.role.nextDeadline() : .max)
  }

  /// Whether the host may leave its loop. A host of a worker alone stays until the relay stops: others may still ask
  /// it.
  mutating func isDone() -> Bool {
    switch control.phase {
    case .running: false
    case .stopping: true
    case .draining:
      !hostsWorkerOnly() && (!shard.isHere || shard.role.isDrained()) && (!firehose.isHere || firehose.role.isDone())
    }
  }

  /// Whether the host runs nothing but a handshake worker: it stays until the relay stops.
  func hostsWorkerOnly() -> Bool { !shard.isHere && !firehose.isHere }

  /// Closes what is still open, where the relay stops at once; the last queued closes leave.
  @inline(never)
  private mutating func finish() {
    _ = closeAccepted()
    if shard.isHere { shard.role.abortAll(&kernel) }
    if firehose.isHere { firehose.role.closeSocket(&kernel) }
    repeat { kernel.poll() } while closeAccepted()
  }

  /// Closes the sockets of completions that no turn has taken. True where there were some.
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
