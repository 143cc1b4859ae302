import CLiburing
import CLinux
import Glibc

/// The kernel behind an io_uring. Made on the thread that uses it, the only one that may: the ring has a single issuer.
///
/// Invariant: `taken <= reaped <= capacity of batch`; completions leave the ring's queue in one sweep into `batch`
/// before any of them is handled.
struct RingKernel: Kernel, ~Copyable {
  private var clock = ThreadClock(machine: RingKernel.machineClock())
  private let uring: UnsafeMutablePointer<io_uring>
  private let batch: UnsafeMutablePointer<Completion>
  /// When the timeout in the ring ends a wait; `.max` if there is none. The kernel reads its time from memory.
  private var timeoutDeadline: UInt64 = .max
  private let timeout: UnsafeMutablePointer<__kernel_timespec>
  private var coalescing: Coalescing
  private var reaped = 0
  private var reads = 0
  private var taken = 0
  private(set) var hasSettled = true
  private(set) var hasBroughtAll = true
  private let resolver: Resolver
  /// The relay's own addresses, which are not a backend.
  private let listeners: [SocketAddress]
  private var watchesResolver = false
  private let congestionControl: String?
  /// Seconds of silence before the kernel asks whether the backend is alive; 0 for never.
  private let keepalive: Int32
  private let control: ControlBlock
  /// Where an entry goes that the kernel will never see.
  private let spare: UnsafeMutablePointer<io_uring_sqe>
  private var refusals = RateLimit()

  /// Throws if the kernel refuses the ring; the error says how to allow it. `memory`: the bytes that all of the relay's
  /// rings take.
  init(
    resolver: Resolver, congestionControl: String?, keepalive: Int32, coalesceTime: UInt64, control: ControlBlock,
    memory: Int = Limits.ringMemory, listeners: [SocketAddress] = []
  ) throws(RelayError) {
    uring = .allocate(capacity: 1)
    uring.initialize(to: io_uring())
    var parameters = RingKernel.parameters
    let result = RingFeatures.setUp(Limits.ringSubmissions, uring, &parameters)
    guard result == 0 else {
      uring.deallocate()
      throw .ring(RingRefusal(.setup, errno: -result, memory: memory))
    }
    // Saves looking up the file at every enter; if it is refused, the ring works without.
    io_uring_register_ring_fd(uring)
    // Older kernels wake the thread at every completion, however many it waits for.
    coalescing = Coalescing(time: parameters.features & voltlane_wakes_lazily != 0 ? coalesceTime : 0)
    batch = .allocate(capacity: Limits.completionsPerTurn)
    timeout = .allocate(capacity: 1)
    spare = .allocate(capacity: 1)
    self.resolver = resolver
    self.listeners = listeners
    self.congestionControl = congestionControl
    self.keepalive = keepalive
    self.control = control
  }

  /// One thread submits; completions are made when it asks, not by interrupting it; and the flag says when asking pays.
  static var parameters: io_uring_params {
    var parameters = io_uring_params()
    parameters.flags =
      UInt32(IORING_SETUP_SINGLE_ISSUER) | UInt32(IORING_SETUP_DEFER_TASKRUN) | UInt32(IORING_SETUP_TASKRUN_FLAG)
      | UInt32(IORING_SETUP_CQSIZE) | UInt32(IORING_SETUP_CLAMP) | UInt32(IORING_SETUP_SUBMIT_ALL)
    parameters.cq_entries = Limits.ringCompletions
    return parameters
  }

  deinit {
    io_uring_queue_exit(uring)
    uring.deallocate()
    batch.deallocate()
    timeout.deallocate()
    spare.deallocate()
  }

  var clockShift: UInt64 = 0
  @inline(__always) var now: UInt64 { clock.now &+ clockShift }
  @inline(__always) var machineNow: UInt64 { clock.machine }
  @inline(__always) var grace: UInt64 { clock.grace }
  var standstill: Standstill { clock.standstill }
  mutating func takeOver(_ standstill: Standstill) { clock.takeOver(standstill) }
  mutating func moment() -> UInt64 { RingKernel.machineClock() }

  /// The ring's descriptor, for doorbells of other hosts.
  var descriptor: Int32 { uring.pointee.ring_fd }

  // MARK: Queued operations

  @inline(__always)
  mutating func submit(_ operation: KernelOperation, _ token: Token) {
    let entry = nextEntry()
    switch operation {
    case .accept(let listener):
      io_uring_prep_multishot_accept(entry, listener, nil, nil, voltlane_accept_flags)
    case .pollReadable(let socket):
      io_uring_prep_poll_multishot(entry, socket, UInt32(POLLIN) | UInt32(PollBits.readHangup))
    case .pollWritable(let socket):
      io_uring_prep_poll_add(entry, socket, UInt32(POLLOUT))
    case .send(let socket, let bytes, let count):
      // As a send that waits for everything, it counts as failed if the socket accepted less, and is reported.
      io_uring_prep_send(entry, socket, bytes, count, voltlane_send_flags | voltlane_wait_all)
      entry.pointee.flags |= UInt8(voltlane_skip_success)
    case .cancel(let token):
      io_uring_prep_cancel64(entry, token.bits, 0)
      entry.pointee.flags |= UInt8(voltlane_skip_success)
    case .close(let socket):
      io_uring_prep_close(entry, socket)
      entry.pointee.flags |= UInt8(voltlane_skip_success)
    }
    io_uring_sqe_set_data64(entry, token.bits)
  }

  private mutating func nextEntry() -> UnsafeMutablePointer<io_uring_sqe> {
    io_uring_get_sqe(uring) ?? makeRoom()
  }

  /// The queue is full: starts what is in it. If the kernel accepts nothing, there is nothing that the thread could do
  /// without it, so it keeps trying; only if the relay stops at once does the entry go nowhere.
  @inline(never)
  private mutating func makeRoom() -> UnsafeMutablePointer<io_uring_sqe> {
    while true {
      let result = io_uring_submit(uring)
      if let entry = io_uring_get_sqe(uring) { return entry }
      refused(result < 0 ? -result : EAGAIN)
      if control.phase == .stopping { return spare }
    }
  }

  /// The kernel refused an enter, usually for lack of memory. What it did not accept stays in the queue for the next
  /// one. That comes a moment later, so that no CPU time is wasted meanwhile, and the control thread is told once a
  /// second.
  @inline(never)
  private mutating func refused(_ error: Int32) {
    guard error != EINTR else { return }
    if let count = refusals.countToLog(now: RingKernel.machineClock()) { control.tellRingRefusal(error, count: count) }
    usleep(Limits.ringPauseMicroseconds)
  }

  // MARK: Completions

  @inline(__always)
  mutating func next() -> Completion? {
    guard taken < reaped else { return nil }
    taken &+= 1
    return batch[taken &- 1]
  }

  mutating func wait(until deadline: UInt64) {
    let end = clock.sleeps(until: deadline)
    if end < timeoutDeadline { moveTimeout(to: end) }
    if coalescing.waitsForMore(reaped: reaped, reads: reads, isIdle: voltlane_ring_is_idle(uring), now: clock.now) {
      waitForMore()
      if reaped > 0 { return }
    }
    let result = io_uring_submit_and_wait(uring, 1)
    if result < 0 { refused(-result) }
    reap()
  }

  /// Waits until there is a batch, or for a moment. Deadlines may be met that much later.
  @inline(never)
  private mutating func waitForMore() {
    var time = __kernel_timespec(tv_sec: 0, tv_nsec: Int64(coalescing.time))
    var entry: UnsafeMutablePointer<io_uring_cqe>?
    let result = io_uring_submit_and_wait_timeout(uring, &entry, Limits.coalescingBatch, &time, nil)
    if result < 0, result != -ETIME { refused(-result) }
    reap()
  }

  /// A time given to the wait itself would be set and removed in the kernel at every sleep. This timeout stays in the
  /// ring over many of them; it only ever moves forward. One that comes too early merely ends a wait.
  @inline(never)
  private mutating func moveTimeout(to deadline: UInt64) {
    timeout.pointee = __kernel_timespec(
      tv_sec: Int64(deadline / Limits.second), tv_nsec: Int64(deadline % Limits.second))
    let entry = nextEntry()
    if timeoutDeadline == .max {
      io_uring_prep_timeout(entry, timeout, 0, IORING_TIMEOUT_ABS)
      io_uring_sqe_set_data64(entry, Token(.timeout).bits)
    } else {
      // Fails if it has just ended: its completion is on the way, and the next wait sets it again.
      io_uring_prep_timeout_update(entry, timeout, Token(.timeout).bits, IORING_TIMEOUT_ABS)
      entry.pointee.flags |= UInt8(voltlane_skip_success)
      io_uring_sqe_set_data64(entry, Token(.none).bits)
    }
    timeoutDeadline = deadline
  }

  mutating func poll() {
    clock.staysAwake()
    if io_uring_sq_ready(uring) > 0 || voltlane_ring_wants_enter(uring) != 0 {
      let result = io_uring_submit_and_get_events(uring)
      if result < 0 { refused(-result) }
    }
    reap()
  }

  private mutating func reap() {
    taken = 0
    reaped = 0
    reads = 0
    var entry: UnsafeMutablePointer<io_uring_cqe>?
    while reaped < Limits.completionsPerTurn, io_uring_peek_cqe(uring, &entry) == 0, let found = entry {
      let token = Token(bits: found.pointee.user_data)
      switch token.purpose {
      case .clientReadable: reads &+= 1
      case .timeout: timeoutDeadline = .max
      default: break
      }
      batch[reaped] = Completion(
        token: token, result: found.pointee.res, more: found.pointee.flags & voltlane_more != 0)
      reaped &+= 1
      io_uring_cq_advance(uring, 1)
    }
    // What an enter did not accept has not even begun.
    hasSettled =
      reaped < Limits.completionsPerTurn && voltlane_ring_overflows(uring) == 0 && io_uring_sq_ready(uring) == 0
    hasBroughtAll = hasSettled && voltlane_ring_wants_enter(uring) == 0
    clock.look(RingKernel.machineClock())
  }

  static func machineClock() -> UInt64 {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return UInt64(time.tv_sec) &* Limits.second &+ UInt64(time.tv_nsec)
  }

  // MARK: Dialling

  mutating func dial(_ address: SocketAddress) -> Int32 {
    guard !listeners.contains(where: { address.leads(to: $0) }) else { return -EDEADLK }
    return address.withSockaddr { voltlane_dial($0, $1, congestionControl, keepalive) }
  }

  mutating func dialResult(_ socket: Int32) -> DialResult {
    let result = voltlane_dial_result(socket)
    guard result == 0 else { return .failed(errno: -result) }
    return voltlane_is_own_peer(socket) ? .itself : .connected
  }

  mutating func resolve(_ token: Token) {
    watchResolver(token)
    resolver.begin()
  }

  private mutating func watchResolver(_ token: Token) {
    guard !watchesResolver else { return }
    watchesResolver = true
    submit(.pollReadable(resolver.signal), token)
  }

  mutating func forget(_ completion: Completion) {
    if !completion.more { watchesResolver = false }
  }

  mutating func lookUp(_ completion: Completion) -> LookUp {
    if !completion.more { watchesResolver = false }
    let lookUp = resolver.lookUp()
    if lookUp == .underWay { watchResolver(completion.token) }
    return lookUp
  }

  mutating func resolvedAddress(_ index: Int) -> SocketAddress? {
    resolver.address(index)
  }

  // MARK: Chance and other threads

  mutating func random() -> UInt64 {
    var value: UInt64 = 0
    voltlane_random(&value, 8)
    return value
  }

  mutating func ring(_ bell: Bell) { ring(bell.ringDescriptor) }

  private mutating func ring(_ descriptor: Int32) {
    let entry = nextEntry()
    io_uring_prep_msg_ring(entry, descriptor, 0, Token(.bell).bits, 0)
    entry.pointee.flags |= UInt8(voltlane_skip_success)
    io_uring_sqe_set_data64(entry, Token(.unheardBell, index: UInt32(descriptor)).bits)
  }

  mutating func ringAgain(_ completion: Completion) {
    // Any other error means that nobody is left to hear it.
    guard [-ENOMEM, -EAGAIN, -EOVERFLOW].contains(completion.result) else { return }
    ring(Int32(completion.token.index))
  }

  mutating func wakeControl() {
    control.wake()
  }
}
