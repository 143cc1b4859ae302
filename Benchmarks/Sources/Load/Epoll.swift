import CBench
import Glibc

/// A level-triggered epoll instance and the events of its latest wait.
struct Epoll: ~Copyable {
  /// Sockets a turn.
  static let capacity = 256

  struct Ready: OptionSet {
    let rawValue: UInt32
    static let input = Ready(rawValue: EPOLLIN.rawValue)
    static let output = Ready(rawValue: EPOLLOUT.rawValue)
    /// Reported whether asked for or not.
    static let closed = Ready(rawValue: EPOLLHUP.rawValue | EPOLLERR.rawValue)
  }

  private let descriptor: Int32
  private let events: UnsafeMutablePointer<epoll_event>

  init() throws(BenchError) {
    descriptor = epoll_create1(Int32(EPOLL_CLOEXEC))
    guard descriptor >= 0 else { throw .system("epoll_create1") }
    events = .allocate(capacity: Epoll.capacity)
  }

  deinit {
    close(descriptor)
    events.deallocate()
  }

  /// How many sockets are ready; 0 after `nanoseconds` without any. A rate needs times far below a millisecond.
  func wait(nanoseconds: UInt64) -> Int {
    var timeout = timespec(tv_sec: Int(nanoseconds / 1_000_000_000), tv_nsec: Int(nanoseconds % 1_000_000_000))
    return max(0, Int(epoll_pwait2(descriptor, events, Int32(Epoll.capacity), &timeout, nil)))
  }

  /// The socket's token, as it was given when the socket was added, and what it is ready for.
  @inline(__always)
  func event(_ index: Int) -> (token: UInt64, ready: Ready) {
    (events[index].data.u64, Ready(rawValue: events[index].events))
  }

  func add(_ fd: Int32, token: UInt64, interest: Ready) throws(BenchError) {
    guard control(EPOLL_CTL_ADD, fd, token, interest) else { throw .system("epoll_ctl") }
  }

  func modify(_ fd: Int32, token: UInt64, interest: Ready) {
    let done = control(EPOLL_CTL_MOD, fd, token, interest)
    precondition(done, "a registered socket can be modified")
  }

  private func control(_ operation: Int32, _ fd: Int32, _ token: UInt64, _ interest: Ready) -> Bool {
    var event = epoll_event(events: interest.rawValue, data: epoll_data_t(u64: token))
    return epoll_ctl(descriptor, operation, fd, &event) == 0
  }
}

/// What an epoll token stands for: a client's index, or one of the backend's sockets.
enum Token {
  private static let backend: UInt64 = 1 << 40
  static let backendListener = backend | 0xffff_ffff

  static func client(_ index: Int) -> UInt64 { UInt64(index) }
  static func backendConnection(_ slot: Int) -> UInt64 { backend | UInt64(slot) }

  static func isBackend(_ token: UInt64) -> Bool { token & backend != 0 }
  static func index(_ token: UInt64) -> Int { Int(token & 0xffff_ffff) }
}
