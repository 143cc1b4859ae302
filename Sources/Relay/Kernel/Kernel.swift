import CLinux
import Glibc

/// The data plane's only door to the kernel, the clock and chance. Roles take it as `inout K` and never keep it: the
/// relay runs them over ``RingKernel``, tests over a scripted one, where the same seed gives the same run. In release
/// every call is specialised and inlined; the seam costs nothing.
///
/// Counts are bytes; a negative result is `-errno`. No call blocks but ``wait(until:)``.
protocol Kernel: ~Copyable {
  /// Nanoseconds of a clock that never goes back, read once a turn: the thread's own, which leaves out what it stood
  /// still. See ``ThreadClock``.
  var now: UInt64 { get }

  /// The same of the machine's clock, for what threads share.
  var machineNow: UInt64 { get }

  /// How long the thread stood still, while what comes may have come then; 0 at other times.
  var grace: UInt64 { get }

  /// Queues `operation`; it starts at the next ``wait(until:)`` or ``poll()``, in order.
  mutating func submit(_ operation: KernelOperation, _ token: Token)

  /// The next of the completions that the last `wait` or `poll` brought.
  mutating func next() -> Completion?

  /// Starts what is queued and sleeps until a completion comes, or the clock reaches `deadline`.
  mutating func wait(until deadline: UInt64)

  /// Starts what is queued and collects what has completed, without sleeping.
  mutating func poll()

  /// Whether the completions of all that the last `wait` or `poll` started have been among those that it brought: a
  /// send without one went well.
  var hasSettled: Bool { get }

  /// Whether the last `wait` or `poll` brought everything that had completed by then.
  var hasBroughtAll: Bool { get }

  mutating func receive(_ socket: Int32, _ bytes: UnsafeMutableRawPointer, _ count: Int) -> Int
  /// One receive into two places, the first of which may have no room.
  mutating func receive(
    _ socket: Int32, _ first: UnsafeMutableRawPointer, _ firstCount: Int, _ second: UnsafeMutableRawPointer,
    _ secondCount: Int
  ) -> Int
  mutating func send(_ socket: Int32, _ bytes: UnsafeRawPointer, _ count: Int) -> Int
  mutating func send(_ socket: Int32, _ vectors: UnsafeMutablePointer<iovec>, vectorCount: Int) -> Int

  /// Sends a FIN after what is queued in the socket.
  mutating func shutdownSending(_ socket: Int32)

  /// Resets the connection at once; the socket is good for nothing but its close. False where that is not possible: a
  /// unix socket knows no reset.
  @discardableResult
  mutating func reset(_ socket: Int32) -> Bool

  /// Forgets the connection without a word to its peer; the socket is good for nothing but its close. Where the process
  /// may not do that, the reset that its close sends goes no further than the next router.
  mutating func abandon(_ socket: Int32)

  /// From now on the listener hears nothing of attempts to connect from these addresses, and of all others. False where
  /// that is not possible, or none of them can come to this listener.
  mutating func shun(_ addresses: [AddressKey], at listener: Int32) -> Bool

  /// Frees a connection of what its listener has for those it does not hear, which would be gone through for each of
  /// its segments.
  mutating func unburden(_ socket: Int32)

  /// Where the client connects from.
  mutating func peerAddress(_ socket: Int32) -> ClientAddress

  /// Bytes that came and were not received yet.
  mutating func unread(_ socket: Int32) -> Int

  /// Bytes that the socket took and its peer has not acknowledged; none where there are no acknowledgements.
  mutating func unacknowledged(_ socket: Int32) -> Int

  /// Bytes of memory in which the kernel holds what came and was not received, and what was sent and not acknowledged.
  mutating func memory(of socket: Int32) -> Int

  /// How long the peer has acknowledged nothing, in nanoseconds; 0 where it owes no acknowledgement.
  mutating func silence(_ socket: Int32) -> UInt64

  /// What the socket took and its peer has not.
  mutating func backlog(_ socket: Int32) -> Backlog

  /// Gives a connection its user timeout in milliseconds, or another one while a probe of keepalive is unanswered and
  /// nothing is outstanding.
  mutating func setUserTimeout(_ socket: Int32, _ milliseconds: UInt32, unanswered: UInt32)

  /// Begins a connection; the socket, which becomes writable when the outcome is known. -EDEADLK where the address is
  /// that of a listener of the relay's own.
  mutating func dial(_ address: SocketAddress) -> Int32

  /// What the dial led to, once the socket is writable.
  mutating func dialResult(_ socket: Int32) -> DialResult

  /// Begins to look the backend's name up, without blocking; completes with `token` when that has ended. Asked for
  /// again before that, another look-up begins beside the one that hangs, where there is a thread left for it, and the
  /// first that finds an address ends both.
  mutating func resolve(_ token: Token)

  /// How the look-up stands, after a completion of ``resolve(_:)``: one that is still under way will complete again.
  /// ``resolvedAddress(_:)`` answers when it has ended.
  mutating func lookUp(_ completion: Completion) -> LookUp

  /// The address at `index` modulo their count, or nil where the name has none.
  mutating func resolvedAddress(_ index: Int) -> SocketAddress?

  mutating func random() -> UInt64

  /// Wakes the host behind `bell` out of its sleep.
  mutating func ring(_ bell: Bell)

  /// Rings once more where a bell was not heard for want of memory: nobody else would, because it counts as rung.
  mutating func ringAgain(_ completion: Completion)

  /// Tells the control thread that there are events.
  mutating func wakeControl()
}

/// What a dial led to.
enum DialResult {
  case connected
  case failed(errno: Int32)
  /// TCP's simultaneous open: the kernel had chosen the port that was dialled as the one to dial from.
  case itself
}

/// What a socket took and its peer has not, and what its peer has taken.
struct Backlog: BitwiseCopyable {
  /// What waits: bytes, or for a unix socket memory.
  var waiting: Int
  /// Bytes that the peer has acknowledged, ever; nil for a unix socket, which does not say.
  var taken: UInt64?
}

/// How a receive or send that moved no bytes has to be taken.
enum Refusal {
  /// No bytes or no room; an edge will tell.
  case wouldBlock
  /// The kernel is short of memory for the moment: the same call may go through later, and no edge will tell.
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
  /// Accepts clients again and again; each completion's result is a socket.
  case accept(listener: Int32)
  /// Completes each time the socket becomes readable (edge by edge) or its peer hangs up; the result has the poll bits.
  case pollReadable(Int32)
  /// Completes once, when the socket is writable.
  case pollWritable(Int32)
  /// A send that never waits. It completes as it starts, and only where the socket did not take all of it; the memory
  /// must stay as it is until the kernel has settled.
  case send(Int32, UnsafeRawPointer, count: Int)
  /// Ends the poll or accept with this token. Its own completion is not reported.
  case cancel(Token)
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

/// The bits of a poll's result that the relay looks at.
enum PollBits {
  /// POLLRDHUP, the peer's FIN; glibc shows the name with _GNU_SOURCE only.
  static let readHangup: Int32 = 0x2000
  /// A reset, or both FINs.
  static let reset = POLLHUP | POLLERR
  static let hangup = readHangup | reset
}
