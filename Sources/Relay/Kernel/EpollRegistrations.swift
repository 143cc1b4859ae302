import CLinux
import Glibc

/// What a thread's epoll instance has been asked for, by descriptor. A descriptor has one registration in an instance,
/// which serves both a poll for reading and one for writing, or an accept.
///
/// Descriptors are closed, and their numbers given to others, on other threads too, where a shard moves: the instance
/// then forgets the registration by itself, and this table does not know. So an event carries the number of its
/// registration, and is nobody's where the table has a later one; and a change that the instance refuses because it has
/// none such (ENOENT) is made anew.
///
/// Invariant: where `asked` is 0 nothing is waited for, and the instance has no registration by this number.
struct EpollRegistrations: ~Copyable {
  struct Registration: BitwiseCopyable {
    /// Whom to tell that the socket is readable, or whom an accept is for; ``nobody`` where that is not waited for.
    var reading: Token
    /// The same of a poll for writing.
    var writing: Token
    fileprivate(set) var number: UInt32
    /// The events, as they were asked for. It may still have those of a poll that has completed.
    fileprivate(set) var asked: UInt32

    /// An accept is reported for as long as there is somebody to accept, polls edge by edge.
    @inline(__always) var isAccept: Bool { asked != 0 && asked & voltlane_poll_edge == 0 }
    @inline(__always) var isIdle: Bool { reading == EpollRegistrations.nobody && writing == EpollRegistrations.nobody }
  }

  /// All zero bits, as memory is at first.
  static let nobody = Token(bits: 0)

  let poller: Int32
  private let memory: SlotMemory<Registration>
  /// Every accept is of a descriptor from the first to the last of these.
  private(set) var firstListener: Int32 = .max
  private(set) var lastListener: Int32 = -1
  /// A descriptor whose polls were cancelled without the instance being told: if it is closed next, as is usual, that
  /// is one call less. -1: none.
  private var untold: Int32 = -1

  /// `capacity`: descriptors are below this.
  init(_ poller: Int32, capacity: Int) throws(RelayError) {
    memory = try SlotMemory(capacity: capacity)
    self.poller = poller
  }

  /// The registration that an event names; nil if it is an earlier one.
  @inline(__always)
  func find(_ event: epoll_event) -> (descriptor: Int32, registration: UnsafeMutablePointer<Registration>)? {
    let descriptor = UInt32(truncatingIfNeeded: event.data.u64)
    let registration = memory.mutableAddress(descriptor)
    guard registration.pointee.number == UInt32(truncatingIfNeeded: event.data.u64 >> 32) else { return nil }
    return (Int32(bitPattern: descriptor), registration)
  }

  @inline(__always)
  private func contains(_ descriptor: Int32) -> Bool {
    descriptor >= 0 && descriptor < Int32(truncatingIfNeeded: memory.capacity)
  }

  @inline(__always)
  private subscript(descriptor: Int32) -> Registration {
    unsafeAddress { memory.address(UInt32(bitPattern: descriptor)) }
    nonmutating unsafeMutableAddress { memory.mutableAddress(UInt32(bitPattern: descriptor)) }
  }

  // MARK: Polls

  /// 0, or -errno, where nothing is waited for.
  mutating func read(_ descriptor: Int32, _ token: Token) -> Int32 {
    guard contains(descriptor) else { return -EBADF }
    tell()
    self[descriptor].reading = token
    var result = update(descriptor)
    if result == -ENOENT {
      // The one that was registered has been closed, and this is another.
      self[descriptor].writing = EpollRegistrations.nobody
      result = update(descriptor)
    }
    if result < 0 { self[descriptor].reading = EpollRegistrations.nobody }
    return result
  }

  /// The same. What is so already is reported in any case.
  mutating func write(_ descriptor: Int32, _ token: Token) -> Int32 {
    guard contains(descriptor) else { return -EBADF }
    tell()
    self[descriptor].writing = token
    var result = update(descriptor)
    if result == -ENOENT {
      self[descriptor].reading = EpollRegistrations.nobody
      result = update(descriptor)
    }
    if result < 0 { self[descriptor].writing = EpollRegistrations.nobody }
    return result
  }

  /// Asks the instance for what is waited for. It looks at the socket then, and reports what is so already.
  private mutating func update(_ descriptor: Int32) -> Int32 {
    if self[descriptor].asked != 0 { return change(descriptor, EPOLL_CTL_MOD) }
    self[descriptor].number &+= 1
    return change(descriptor, EPOLL_CTL_ADD)
  }

  private mutating func change(_ descriptor: Int32, _ operation: Int32) -> Int32 {
    var events = voltlane_poll_edge
    if self[descriptor].reading != EpollRegistrations.nobody { events |= voltlane_poll_read }
    if self[descriptor].writing != EpollRegistrations.nobody { events |= voltlane_poll_write }
    return change(descriptor, operation, events)
  }

  private mutating func change(_ descriptor: Int32, _ operation: Int32, _ events: UInt32) -> Int32 {
    let result = voltlane_poll_change(poller, operation, descriptor, events, self[descriptor].number)
    if result == 0 { self[descriptor].asked = events } else if result == -ENOENT { self[descriptor].asked = 0 }
    return result
  }

  /// Nobody waits to write any more, and the instance goes on reporting it, as it does of unix sockets at each of the
  /// peer's reads.
  @inline(never)
  mutating func stopWriting(_ descriptor: Int32) {
    if self[descriptor].asked & voltlane_poll_write != 0, !self[descriptor].isIdle { _ = update(descriptor) }
  }

  // MARK: Accepts

  /// 0, or -errno.
  mutating func accept(_ listener: Int32, _ token: Token) -> Int32 {
    guard contains(listener) else { return -EBADF }
    tell()
    self[listener].number &+= 1
    self[listener].reading = token
    var result = change(listener, EPOLL_CTL_ADD, voltlane_poll_accept | voltlane_poll_exclusive)
    // Not every system that offers epoll knows exclusive waiters.
    if result == -EINVAL { result = change(listener, EPOLL_CTL_ADD, voltlane_poll_accept) }
    if result < 0 { self[listener].reading = EpollRegistrations.nobody }
    firstListener = min(firstListener, listener)
    lastListener = max(lastListener, listener)
    return result
  }

  /// Whom a listener accepts for; nil if it does not.
  func acceptor(_ listener: Int32) -> Token? { self[listener].isAccept ? self[listener].reading : nil }

  /// Whether the instance has lost a listener: its descriptor has been made another socket's.
  mutating func isLost(_ listener: Int32) -> Bool {
    // An exclusive one cannot be changed, which is not what this is for.
    let result = voltlane_poll_change(
      poller, EPOLL_CTL_MOD, listener, voltlane_poll_accept, self[listener].number)
    return result == -ENOENT
  }

  // MARK: Ends

  /// Ends what a token waits for. True if that was an accept.
  mutating func cancel(_ token: Token, of descriptor: Int32) -> Bool {
    guard contains(descriptor) else { return false }
    if untold != descriptor { tell() }
    let isAccept = self[descriptor].isAccept
    if self[descriptor].reading == token {
      self[descriptor].reading = EpollRegistrations.nobody
    } else if self[descriptor].writing == token {
      self[descriptor].writing = EpollRegistrations.nobody
    } else {
      return false
    }
    untold = descriptor
    // The socket of a listener may have other descriptors, so that closing this one would not be enough.
    if isAccept { tell() }
    return isAccept
  }

  /// Tells the instance of the polls that were cancelled last.
  @inline(__always)
  mutating func tell() {
    if untold >= 0 { tellOfCancelled() }
  }

  @inline(never)
  private mutating func tellOfCancelled() {
    let descriptor = untold
    untold = -1
    if self[descriptor].isIdle {
      _ = voltlane_poll_change(poller, EPOLL_CTL_DEL, descriptor, 0, 0)
      self[descriptor].asked = 0
    } else {
      _ = update(descriptor)
    }
  }

  /// The descriptor is about to be closed.
  mutating func forget(_ descriptor: Int32) {
    guard contains(descriptor) else { return }
    if untold == descriptor { untold = -1 } else { tell() }
    self[descriptor] = Registration(
      reading: EpollRegistrations.nobody, writing: EpollRegistrations.nobody, number: self[descriptor].number, asked: 0)
  }
}
