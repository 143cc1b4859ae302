import NIOCore

/// The earliest time at which what is read may have arrived. The kernel does not say, and receives data while nobody
/// reads.
///
/// So after a backend has not read for a while, because the queue was full, the connection had to wait for its turn, or
/// the process was stopped, what it reads may be as old as that, until a read finds the kernel empty.
struct ArrivalClock {
  /// How often the event loop shows that it is running; nil: it does not, and stops go unnoticed.
  var resolution: TimeAmount?
  /// When the event loop last showed that it was running.
  private var lastTick: NIODeadline
  /// Since when data may have arrived without being read; nil if the kernel was empty.
  private var unreadSince: NIODeadline?

  init(resolution: TimeAmount?, now: NIODeadline) {
    self.resolution = resolution
    lastTick = now
  }

  /// The event loop is running.
  mutating func tick(_ now: NIODeadline) {
    noticeStop(now)
    lastTick = now
  }

  /// Nothing is read from now on.
  mutating func pause(_ now: NIODeadline) {
    unreadSince = unreadSince ?? now
  }

  /// Something was read; `isAll`: the kernel had no more.
  mutating func read(_ now: NIODeadline, isAll: Bool) -> NIODeadline {
    noticeStop(now)
    defer { if isAll { unreadSince = nil } }
    return unreadSince ?? now
  }

  private mutating func noticeStop(_ now: NIODeadline) {
    // Twice, because a tick may be a little late.
    guard let resolution, now - lastTick > resolution * 2 else { return }
    unreadSince = min(unreadSince ?? now, lastTick)
    lastTick = now
  }
}
