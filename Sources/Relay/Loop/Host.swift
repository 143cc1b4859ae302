/// A thread's part of the relay: a kernel and the roles that it hosts. The one loop is here.
///
/// A shard and the firehose may share a host (one or two CPUs) or have one each (more CPUs); a test drives any number
/// of hosts in one thread, turn by turn.
struct Host<K: Kernel & ~Copyable>: ~Copyable {
  var kernel: K
  var shard: Shard?
  var firehose: Firehose?
  var worker: HandshakeWorker?
  let bell: Bell
  let control: ControlBlock
  private var settings: RecordConsumer<HostSettings>
  private let wakeSignal: Int32
  private var draining = false
  private var saidDone = false

  /// Takes the roles out of `roles`. `wakeSignal` is an eventfd on which the control thread wakes the host.
  init(kernel: consuming K, roles: Roles, wakeSignal: Int32, control: ControlBlock) {
    self.kernel = kernel
    shard = roles.shard.take()
    firehose = roles.firehose.take()
    worker = roles.worker.take()
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
    firehose?.start(&kernel)
    shard?.start(&kernel)
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

  /// One turn. The order is a packet's: what the kernel has to say is taken note of; the backend is read, so that
  /// clients get it in the same turn; clients are written, then read; and what they sent leaves for the backend in one
  /// send at the end.
  mutating func turn() {
    bell.announceAwake()
    while let completion = kernel.next() { dispatch(completion) }
    shard?.settleSends(&kernel)
    firehose?.receive(&kernel)
    shard?.takeMessages(&kernel)
    shard?.deliver(&kernel)
    shard?.readClients(&kernel)
    shard?.publish(&kernel)
    firehose?.transmit(&kernel)
    worker?.work(&kernel)
    expire()
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
      shard?.handle(completion, &kernel)
    case .firehoseReadable, .firehoseWritable, .resolved:
      firehose?.handle(completion, &kernel)
    case .control:
      if !completion.more { listenToControl() }
    case .bell, .timeout, .none:
      // What it is about stands in the lanes and in the control block, which every turn looks at.
      break
    }
  }

  private mutating func expire() {
    if settings.available() > 0 { takeSettings() }
    if control.phase != .running, !draining {
      draining = true
      shard?.beginDrain(&kernel)
      firehose?.beginDrain(&kernel)
    }
    shard?.expire(&kernel)
    shard?.publish(&kernel)
    firehose?.expire(&kernel)
  }

  @inline(never)
  private mutating func takeSettings() {
    while settings.available() > 0 {
      let new = settings.take()
      shard?.take(new, kernel)
      firehose?.take(new)
      // Only now: the relay may forget then what they point to.
      _ = settings.release()
    }
  }

  private mutating func hasWork() -> Bool {
    if control.phase != .running, !draining { return true }
    if settings.available() > 0 { return true }
    // The firehose first: it says what it waits for, and then a shard on the same thread knows.
    if firehose?.hasWork() ?? false { return true }
    return (shard?.hasWork(besideFirehose: firehose != nil) ?? false) || (worker?.hasWork() ?? false)
  }

  private mutating func nextDeadline() -> UInt64 {
    min(shard?.nextDeadline() ?? .max, firehose?.nextDeadline() ?? .max)
  }

  /// Whether the host may leave its loop. A host of a worker alone stays until the relay stops: others may still ask
  /// it.
  mutating func isDone() -> Bool {
    switch control.phase {
    case .running: false
    case .stopping: true
    case .draining:
      !hostsWorkerOnly() && (shard?.isDrained() ?? true) && (firehose?.isDone() ?? true)
    }
  }

  /// Whether the host runs nothing but a handshake worker: it stays until the relay stops.
  func hostsWorkerOnly() -> Bool { shard == nil && firehose == nil }

  /// Closes what is still open, where the relay stops at once; the last queued closes leave.
  @inline(never)
  private mutating func finish() {
    _ = closeAccepted()
    shard?.closeSockets(&kernel)
    firehose?.closeSocket(&kernel)
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
