import CLiburing
import CLinux
import Glibc

/// The kernel behind an io_uring. Made on the thread that uses it, the only one that may: the ring has a single issuer.
struct RingKernel: SystemKernel, ~Copyable {
  var context: KernelContext
  var clockShift: UInt64 = 0
  private let uring: UnsafeMutablePointer<io_uring>
  private var batch = CompletionBatch(capacity: Limits.completionsPerTurn)
  /// When the timeout in the ring ends a wait; `.max` if there is none. The kernel reads its time from memory.
  private var timeoutDeadline: UInt64 = .max
  private let timeout: UnsafeMutablePointer<__kernel_timespec>
  private var coalescing: Coalescing
  private var reads = 0
  private(set) var hasSettled = true
  private(set) var hasBroughtAll = true
  /// Where an entry goes that the kernel will never see.
  private let spare: UnsafeMutablePointer<io_uring_sqe>

  /// Throws if the kernel refuses the ring; the error says how to allow it.
  init(_ setup: KernelSetup) throws(RelayError) {
    uring = .allocate(capacity: 1)
    uring.initialize(to: io_uring())
    var parameters = RingKernel.parameters
    let result = RingFeatures.setUp(Limits.ringSubmissions, uring, &parameters)
    guard result == 0 else {
      uring.deallocate()
      throw .ring(RingRefusal(.setup, errno: -result, memory: setup.ringMemory))
    }
    // Saves looking up the file at every enter; if it is refused, the ring works without.
    io_uring_register_ring_fd(uring)
    // Older kernels wake the thread at every completion, however many it waits for.
    coalescing = Coalescing(time: parameters.features & voltlane_wakes_lazily != 0 ? setup.coalesceTime : 0)
    timeout = .allocate(capacity: 1)
    spare = .allocate(capacity: 1)
    context = KernelContext(setup)
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
    timeout.deallocate()
    spare.deallocate()
  }

  /// The ring's own: doorbells are messages to it.
  var bellDescriptor: Int32 { uring.pointee.ring_fd }

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
    case .cancel(let token, _):
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
      if context.setup.control.phase == .stopping { return spare }
    }
  }

  // MARK: Completions

  @inline(__always)
  mutating func next() -> Completion? { batch.next() }

  mutating func wait(until deadline: UInt64) {
    let end = context.clock.sleeps(until: deadline)
    if end < timeoutDeadline { moveTimeout(to: end) }
    let isIdle = voltlane_ring_is_idle(uring)
    if coalescing.waitsForMore(reaped: batch.count, reads: reads, isIdle: isIdle, now: context.clock.now) {
      waitForMore()
      if batch.count > 0 { return }
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
    context.clock.staysAwake()
    if io_uring_sq_ready(uring) > 0 || voltlane_ring_wants_enter(uring) != 0 {
      let result = io_uring_submit_and_get_events(uring)
      if result < 0 { refused(-result) }
    }
    reap()
  }

  private mutating func reap() {
    batch.removeAll()
    reads = 0
    var entry: UnsafeMutablePointer<io_uring_cqe>?
    while batch.count < Limits.completionsPerTurn, io_uring_peek_cqe(uring, &entry) == 0, let found = entry {
      let token = Token(bits: found.pointee.user_data)
      switch token.purpose {
      case .clientReadable: reads &+= 1
      case .timeout: timeoutDeadline = .max
      default: break
      }
      batch.append(
        Completion(token: token, result: found.pointee.res, more: found.pointee.flags & voltlane_more != 0))
      io_uring_cq_advance(uring, 1)
    }
    // What an enter did not accept has not even begun.
    hasSettled =
      batch.count < Limits.completionsPerTurn && voltlane_ring_overflows(uring) == 0 && io_uring_sq_ready(uring) == 0
    hasBroughtAll = hasSettled && voltlane_ring_wants_enter(uring) == 0
    context.clock.look(ThreadClock.machineNow())
  }

  // MARK: Bells

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
}
