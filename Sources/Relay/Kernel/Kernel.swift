import CLinux
import Glibc

/// The data plane's only door to the kernel, the clock and randomness. Roles take it as `inout K` and never keep it:
/// the relay runs them over ``RingKernel`` or ``EpollKernel``, and tests over a scripted one, where the same seed gives
/// the same run. In release builds every call is specialised and inlined, so the seam costs nothing.
///
/// Counts are in bytes; a negative result is `-errno`. No call blocks except ``wait(until:)``.
protocol Kernel: ~Copyable {
  /// Nanoseconds of a clock that never goes back, read once a turn. It is the thread's own clock, which leaves out the
  /// time that the thread stood still. See ``ThreadClock``.
  var now: UInt64 { get }

  /// What is added to the thread's clock for the role that is being called, so that its time goes on evenly when it
  /// moves from one host to another. See ``Seat``.
  var clockShift: UInt64 { get set }

  /// The same on the machine's clock, for what threads share.
  var machineNow: UInt64 { get }

  /// The machine's clock at this very moment, which takes a call.
  mutating func moment() -> UInt64

  /// How long the thread stood still, while what is arriving may still date from then; 0 at other times.
  var grace: UInt64 { get }

  /// The thread's last standstill, and taking over another thread's, of which a role comes that had clients then.
  var standstill: Standstill { get }
  mutating func takeOver(_ standstill: Standstill)

  /// Queues `operation`; it starts by the next ``wait(until:)`` or ``poll()``, in order.
  mutating func submit(_ operation: KernelOperation, _ token: Token)

  /// The next completion that the last `wait` or `poll` brought.
  mutating func next() -> Completion?

  /// Starts what is queued, and sleeps until a completion arrives or the thread's clock reaches `deadline`.
  mutating func wait(until deadline: UInt64)

  /// Starts what is queued and collects what has completed, without sleeping.
  mutating func poll()

  /// Whether the last `wait` or `poll` brought the completions of everything that it started: a send without one then
  /// succeeded.
  var hasSettled: Bool { get }

  /// Whether the last `wait` or `poll` brought everything that had completed by then.
  var hasBroughtAll: Bool { get }

  mutating func receive(_ socket: Int32, _ bytes: UnsafeMutableRawPointer, _ count: Int) -> Int
  /// One receive into two places, of which the first may have no room.
  mutating func receive(
    _ socket: Int32, _ first: UnsafeMutableRawPointer, _ firstCount: Int, _ second: UnsafeMutableRawPointer,
    _ secondCount: Int
  ) -> Int
  mutating func send(_ socket: Int32, _ bytes: UnsafeRawPointer, _ count: Int) -> Int
  mutating func send(_ socket: Int32, _ vectors: UnsafeMutablePointer<iovec>, vectorCount: Int) -> Int

  /// Sends a FIN after what is queued in the socket.
  mutating func shutdownSending(_ socket: Int32)

  /// Resets the connection at once; the socket can then only be closed. False if that is not possible: unix sockets
  /// have no reset.
  @discardableResult
  mutating func reset(_ socket: Int32) -> Bool

  /// Forgets the connection without telling its peer; the socket can then only be closed. If the process does not have
  /// the right to do that, the reset that closing sends goes no further than the next router.
  mutating func abandon(_ socket: Int32)

  /// From now on the listener ignores attempts to connect from these addresses, and hears all others. False if that is
  /// not possible, or if none of them can reach this listener.
  mutating func shun(_ addresses: [AddressKey], at listener: Int32) -> Bool

  /// Removes from a connection its listener's list of ignored addresses, which the kernel would otherwise go through
  /// for each of its segments.
  mutating func unburden(_ socket: Int32)

  /// Where the client connects from.
  mutating func peerAddress(_ socket: Int32) -> ClientAddress

  /// The port that it connects from; 0 for a unix socket.
  mutating func peerPort(_ socket: Int32) -> UInt16

  /// Bytes that have arrived and were not received yet.
  mutating func unread(_ socket: Int32) -> Int

  /// Bytes that the socket accepted and its peer has not acknowledged; none if there are no acknowledgements.
  mutating func unacknowledged(_ socket: Int32) -> Int

  /// Memory in which the kernel holds what has arrived and was not received, and what was sent and not acknowledged.
  mutating func memory(of socket: Int32) -> Int

  /// How long the peer has acknowledged nothing, in nanoseconds; 0 if it owes no acknowledgement.
  mutating func silence(_ socket: Int32) -> UInt64

  /// What the socket accepted and its peer has not taken.
  mutating func backlog(_ socket: Int32) -> Backlog

  /// Sets a connection's user timeout in milliseconds, or another one that holds while a keepalive probe is unanswered
  /// and nothing is outstanding.
  mutating func setUserTimeout(_ socket: Int32, _ milliseconds: UInt32, unanswered: UInt32)

  /// Begins a connection. Returns the socket, which becomes writable when the outcome is known. -EDEADLK if the address
  /// belongs to one of the relay's own listeners.
  mutating func dial(_ address: SocketAddress) -> Int32

  /// What the dial led to, once the socket is writable.
  mutating func dialResult(_ socket: Int32) -> DialResult

  /// Begins to look up the backend's name, without blocking; completes with `token` when that has ended. If it is
  /// called again before that, another look-up begins beside the one that hangs, if a thread is left for it, and the
  /// first one that finds an address ends both.
  mutating func resolve(_ token: Token)

  /// The state of the look-up after a completion of ``resolve(_:)``: if it is still in progress, it will complete
  /// again. ``resolvedAddress(_:)`` answers once it has ended.
  mutating func lookUp(_ completion: Completion) -> LookUp

  /// A completion of ``resolve(_:)`` for a firehose that has gone to another host.
  mutating func forget(_ completion: Completion)

  /// The address at `index` modulo their count, or nil if the name has none.
  mutating func resolvedAddress(_ index: Int) -> SocketAddress?

  mutating func random() -> UInt64

  /// Wakes the host behind `bell` from its sleep.
  mutating func ring(_ bell: Bell)

  /// Rings again if a bell was not heard for lack of memory: nobody else would, because it counts as rung.
  mutating func ringAgain(_ completion: Completion)

  /// Tells the control thread that there are events.
  mutating func wakeControl()
}

/// What a dial led to.
enum DialResult {
  case connected
  case failed(errno: Int32)
  /// TCP's simultaneous open: the kernel had chosen the dialled port as the port to dial from.
  case itself
}

/// What a socket accepted and its peer has not taken, and what its peer has taken.
struct Backlog: BitwiseCopyable {
  /// What is waiting: in bytes or, for a unix socket, memory.
  var waiting: Int
  /// Bytes that the peer has ever acknowledged; nil for a unix socket, which does not say.
  var taken: UInt64?
}

/// What a receive or send that moved no bytes means.
enum NoBytes {
  /// No bytes or no room; an edge will follow.
  case wouldBlock
  /// The kernel is short of memory at the moment: the same call may succeed later, and no edge will follow.
  case later
  /// The connection is gone.
  case broken

  @inline(__always)
  init(_ result: Int) {
    switch Int32(truncatingIfNeeded: -result) {
    case EAGAIN: self = .wouldBlock
    case EINTR, ENOBUFS, ENOMEM: self = .later
    default: self = .broken
    }
  }
}

/// What can be queued in the kernel.
enum KernelOperation {
  /// Keeps accepting clients; each completion's result is a socket.
  case accept(listener: Int32)
  /// Completes each time the socket becomes readable (edge by edge) or its peer hangs up; the result has the poll bits.
  case pollReadable(Int32)
  /// Completes once, when the socket is writable.
  case pollWritable(Int32)
  /// A send that never waits. It completes as it starts, and only if the socket did not accept all of it; the memory
  /// must stay unchanged until the kernel has settled.
  case send(Int32, UnsafeRawPointer, count: Int)
  /// Ends the poll or accept with this token, which is for this descriptor. Its own completion is not reported. What it
  /// ends completes with -ECANCELED; a poll may also say nothing more.
  case cancel(Token, of: Int32)
  /// Closes the socket after the operations queued before. Not reported.
  case close(Int32)
}

struct Completion {
  let token: Token
  /// A count, a socket or poll bits; negative: `-errno`.
  let result: Int32
  /// Whether the operation goes on and will complete again.
  let more: Bool
}

/// The bits of a poll's result that the relay uses.
enum PollBits {
  /// POLLRDHUP, the peer's FIN; glibc only shows the name with _GNU_SOURCE.
  static let readHangup: Int32 = 0x2000
  /// A reset, or both FINs.
  static let reset = POLLHUP | POLLERR
  static let hangup = readHangup | reset
}
