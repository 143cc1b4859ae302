import CLinux
import Glibc

/// A kernel that is the system's: what a thread of a running relay has. The two differ in how operations are queued and
/// how completions come; the calls whose result is known at once, the clock, and dialling are the same, and are written
/// once, in extensions of this. The relay is assembled for one of them, so every call is known when it is compiled.
protocol SystemKernel: Kernel, SendableMetatype, ~Copyable {
  /// To be made on the thread that uses it. Throws if the system refuses what it needs.
  init(_ setup: KernelSetup) throws(RelayError)

  /// What other threads ring the host's bell with: see ``Bell/ringDescriptor``.
  var bellDescriptor: Int32 { get }

  var context: KernelContext { get set }
}

/// What a thread's kernel is made of.
struct KernelSetup: Sendable {
  let resolver: Resolver
  let congestionControl: String?
  /// Seconds of silence before the kernel asks whether the backend is alive; 0 for never.
  let keepalive: Int32
  /// Nanoseconds: see ``Coalescing``.
  let coalesceTime: UInt64
  let control: ControlBlock
  /// The bytes that all of the relay's rings take.
  var ringMemory = Limits.ringMemory
  /// The relay's own addresses, which are not a backend.
  var listeners: [SocketAddress] = []
}

/// What a kernel of the system keeps, however it reaches the system.
struct KernelContext: ~Copyable {
  let setup: KernelSetup
  var clock = ThreadClock(machine: ThreadClock.machineNow())
  fileprivate var watchesResolver = false
  fileprivate var refusals = RateLimit()

  init(_ setup: KernelSetup) { self.setup = setup }
}

// MARK: The clock

extension SystemKernel where Self: ~Copyable {
  @inline(__always) var now: UInt64 { context.clock.now &+ clockShift }
  @inline(__always) var machineNow: UInt64 { context.clock.machine }
  @inline(__always) var grace: UInt64 { context.clock.grace }
  var standstill: Standstill { context.clock.standstill }
  mutating func takeOver(_ standstill: Standstill) { context.clock.takeOver(standstill) }
  mutating func moment() -> UInt64 { ThreadClock.machineNow() }
}

// MARK: The backend

extension SystemKernel where Self: ~Copyable {
  mutating func dial(_ address: SocketAddress) -> Int32 {
    let setup = context.setup
    guard !setup.listeners.contains(where: { address.leads(to: $0) }) else { return -EDEADLK }
    return address.withSockaddr { voltlane_dial($0, $1, setup.congestionControl, setup.keepalive) }
  }

  mutating func dialResult(_ socket: Int32) -> DialResult {
    let result = voltlane_dial_result(socket)
    guard result == 0 else { return .failed(errno: -result) }
    return voltlane_is_own_peer(socket) ? .itself : .connected
  }

  mutating func resolve(_ token: Token) {
    watchResolver(token)
    context.setup.resolver.begin()
  }

  private mutating func watchResolver(_ token: Token) {
    guard !context.watchesResolver else { return }
    context.watchesResolver = true
    submit(.pollReadable(context.setup.resolver.signal), token)
  }

  mutating func forget(_ completion: Completion) {
    if !completion.more { context.watchesResolver = false }
  }

  mutating func lookUp(_ completion: Completion) -> LookUp {
    if !completion.more { context.watchesResolver = false }
    let lookUp = context.setup.resolver.lookUp()
    if lookUp == .underWay { watchResolver(completion.token) }
    return lookUp
  }

  mutating func resolvedAddress(_ index: Int) -> SocketAddress? {
    context.setup.resolver.address(index)
  }
}

// MARK: Chance and other threads

extension SystemKernel where Self: ~Copyable {
  mutating func random() -> UInt64 {
    var value: UInt64 = 0
    voltlane_random(&value, 8)
    return value
  }

  mutating func wakeControl() {
    context.setup.control.wake()
  }

  /// The system refused something without which the thread cannot go on as it should, usually for lack of memory. The
  /// next try comes a moment later, so that no CPU time is wasted meanwhile, and the control thread is told once a
  /// second.
  @inline(never)
  mutating func refused(_ error: Int32) {
    guard error != EINTR else { return }
    if let count = context.refusals.countToLog(now: ThreadClock.machineNow()) {
      context.setup.control.tellRingRefusal(error, count: count)
    }
    usleep(Limits.ringPauseMicroseconds)
  }
}
