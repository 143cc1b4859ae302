import CLinux
import Glibc

/// The kernel where there is no io_uring: an epoll instance, and a call for each thing that is done.
///
/// Sends, closes and changes to polls are done as they are submitted, because queueing would save no call. What they
/// have to report waits in `reports` for the next ``wait(until:)`` or ``poll()``, as in a ring.
///
/// A sleep ends with a timer (timerfd) rather than a time given to the wait itself, which would be rounded up to
/// milliseconds on older kernels, and set and removed at every sleep: the timer stays over many of them, and only ever
/// moves forward. The bell is an eventfd. Neither is ever read: each signal is an edge of its own.
struct EpollKernel: SystemKernel, ~Copyable {
  var context: KernelContext
  var clockShift: UInt64 = 0
  private let own: EpollDescriptors
  /// When the timer ends a wait; `.max` if it does not.
  private var timerDeadline: UInt64 = .max
  private var registrations: EpollRegistrations
  private let events: UnsafeMutablePointer<epoll_event>
  private var batch = CompletionBatch(capacity: EpollKernel.batchCapacity)
  private var reports: CompletionQueue
  /// How many of them have to be taken until the last report of a send is among those.
  private var unsettled: UInt32 = 0
  /// Why the instance refused a registration since the last wait or poll; 0 if it did not.
  private var refusal: Int32 = 0
  private(set) var hasSettled = true
  private(set) var hasBroughtAll = true

  /// Each event may be both for reading and for writing; and there is room to accept.
  private static let batchCapacity = 2 * Limits.eventsPerTurn + Limits.acceptsPerTurn

  init(_ setup: KernelSetup) throws(RelayError) {
    let own = try EpollDescriptors()
    let capacity = min(Int(clamping: voltlane_descriptor_limit()), Limits.polledDescriptors)
    var registrations = try EpollRegistrations(own.poller, capacity: capacity)
    // Of each descriptor a poll to read, one to write and a send may have something to report.
    let reports = try CompletionQueue(capacity: 3 &* capacity &+ Limits.eventsPerTurn)
    // The bell and the timer are heard like sockets.
    var result = registrations.read(own.bell, Token(.bell))
    if result == 0 { result = registrations.read(own.timer, Token(.timeout)) }
    guard result == 0 else { throw .system(call: "epoll_ctl", errno: 0 &- result) }
    self.own = own
    self.registrations = registrations
    self.reports = reports
    events = .allocate(capacity: Limits.eventsPerTurn)
    context = KernelContext(setup)
  }

  deinit { events.deallocate() }

  var bellDescriptor: Int32 { own.bell }

  // MARK: Operations

  @inline(__always)
  mutating func submit(_ operation: KernelOperation, _ token: Token) {
    if case .send(let socket, let bytes, let count) = operation {
      let sent = voltlane_send(socket, bytes, UInt(bitPattern: count))
      if sent != count {
        report(token, Int32(truncatingIfNeeded: sent))
        unsettled = reports.count
      }
    } else {
      submitOther(operation, token)
    }
  }

  @inline(never)
  private mutating func submitOther(_ operation: KernelOperation, _ token: Token) {
    switch operation {
    case .accept(let listener): begin(token, registrations.accept(listener, token))
    case .pollReadable(let descriptor): begin(token, registrations.read(descriptor, token))
    case .pollWritable(let descriptor): begin(token, registrations.write(descriptor, token))
    case .send: break
    case .cancel(let target, let descriptor):
      if registrations.cancel(target, of: descriptor) { report(target, -ECANCELED) }
    case .close(let descriptor):
      registrations.forget(descriptor)
      Glibc.close(descriptor)
    }
  }

  /// What begins is reported if it fails. If the system is short of something, whoever tries again at once would only
  /// keep the CPU busy.
  private mutating func begin(_ token: Token, _ result: Int32) {
    guard result < 0 else { return }
    report(token, result)
    if result == -ENOMEM || result == -ENOSPC { refusal = 0 &- result }
  }

  @inline(never)
  private mutating func report(_ token: Token, _ result: Int32) {
    reports.append(Completion(token: token, result: result, more: false))
  }

  // MARK: Completions

  @inline(__always)
  mutating func next() -> Completion? { batch.next() }

  mutating func wait(until deadline: UInt64) {
    let end = context.clock.sleeps(until: deadline)
    if end < timerDeadline { moveTimer(to: end) }
    reap(sleeps: reports.isEmpty)
  }

  @inline(never)
  private mutating func moveTimer(to deadline: UInt64) {
    voltlane_timer_set(own.timer, deadline)
    timerDeadline = deadline
  }

  mutating func poll() {
    context.clock.staysAwake()
    reap(sleeps: false)
  }

  @inline(never)
  private mutating func reap(sleeps: Bool) {
    if refusal != 0 { pause() }
    registrations.tell()
    batch.removeAll()
    while batch.count < Limits.eventsPerTurn, let completion = reports.popFirst() {
      if unsettled > 0 { unsettled &-= 1 }
      batch.append(completion)
    }
    // Polls that fail again and again, as they do where the system has no room for them, hold up nobody's sends.
    hasSettled = unsettled == 0
    // Each event may become two completions.
    let room = Limits.eventsPerTurn &- batch.count / 2
    let count = Int(voltlane_poll(own.poller, events, Int32(truncatingIfNeeded: room), sleeps ? 1 : 0))
    // A sleep that a signal or a stop of the process ends brings nothing, whatever has happened.
    hasBroughtAll = reports.isEmpty && count >= 0 && count < room
    var isCalled = false
    var place = 0
    while place < count {
      let event = events[place]
      place &+= 1
      guard let (descriptor, registration) = registrations.find(event) else { continue }
      let reading = registration.pointee.reading
      if registration.pointee.isAccept {
        accept(descriptor, reading, room: EpollKernel.batchCapacity &- batch.count &- 2 &* (count &- place))
        continue
      }
      let bits = event.events & ~voltlane_poll_write
      if bits != 0, reading != EpollRegistrations.nobody {
        switch reading.purpose {
        case .timeout: timerDeadline = .max
        case .control: isCalled = true
        default: break
        }
        batch.append(Completion(token: reading, result: Int32(truncatingIfNeeded: bits), more: true))
      }
      let writing = registration.pointee.writing
      if writing != EpollRegistrations.nobody {
        wrote(registration, writing, event.events)
      } else if bits == 0 {
        registrations.stopWriting(descriptor)
      }
    }
    if isCalled { findLostListeners() }
    context.clock.look(ThreadClock.machineNow())
  }

  /// A poll for writing completes once. The instance goes on, which it would have to be told; what it then reports is
  /// nobody's.
  @inline(never)
  private mutating func wrote(
    _ registration: UnsafeMutablePointer<EpollRegistrations.Registration>, _ token: Token, _ events: UInt32
  ) {
    let bits = events & (voltlane_poll_write | voltlane_poll_always)
    guard bits != 0 else { return }
    registration.pointee.writing = EpollRegistrations.nobody
    batch.append(Completion(token: token, result: Int32(truncatingIfNeeded: bits), more: false))
  }

  /// The system is short of something: see ``begin(_:_:)``.
  @inline(never)
  private mutating func pause() {
    refused(refusal)
    refusal = 0
  }

  // MARK: Accepting

  /// Accepts some of those who wait; the instance reports the others next time. Any error ends it, as in a ring.
  @inline(never)
  private mutating func accept(_ listener: Int32, _ token: Token, room: Int) {
    var left = min(room, Limits.acceptsPerTurn)
    while left > 0 {
      left &-= 1
      let client = voltlane_accept(listener)
      if client == -EAGAIN { return }
      if client < 0 { _ = registrations.cancel(token, of: listener) }
      batch.append(Completion(token: token, result: client, more: client >= 0))
      if client < 0 { return }
    }
    hasBroughtAll = false
  }

  /// The control thread has called. It may have put new listeners in the place of those that had stopped, which the
  /// instance then has lost, perhaps before it said that they had. To the shard that is the end of an accept, as the
  /// stop is.
  @inline(never)
  private mutating func findLostListeners() {
    var listener = registrations.firstListener
    while listener <= registrations.lastListener {
      if let token = registrations.acceptor(listener), registrations.isLost(listener) {
        _ = registrations.cancel(token, of: listener)
        report(token, -EINVAL)
      }
      listener &+= 1
    }
  }

  // MARK: Bells

  mutating func ring(_ bell: Bell) { voltlane_eventfd_signal(bell.ringDescriptor) }

  /// An eventfd is always heard.
  mutating func ringAgain(_ completion: Completion) {}
}
