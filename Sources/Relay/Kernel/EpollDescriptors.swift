import CLinux
import Glibc

/// The descriptors of a thread's own with which it waits: an epoll instance, its bell and its timer.
struct EpollDescriptors: ~Copyable {
  let poller: Int32
  /// An eventfd on which other threads ring.
  let bell: Int32
  let timer: Int32

  /// Throws if the system has none left.
  init() throws(RelayError) {
    let made = [("epoll_create1", voltlane_poller()), ("eventfd", voltlane_eventfd()), ("timerfd", voltlane_timer())]
    if let (call, error) = made.first(where: { $0.1 < 0 }) {
      for (_, descriptor) in made where descriptor >= 0 { close(descriptor) }
      throw .system(call: call, errno: -error)
    }
    (poller, bell, timer) = (made[0].1, made[1].1, made[2].1)
  }

  deinit {
    for descriptor in [poller, bell, timer] { close(descriptor) }
  }
}
