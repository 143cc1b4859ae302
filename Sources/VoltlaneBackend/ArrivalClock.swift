import NIOCore

/// When what is read has arrived, at the earliest. The kernel does not say, and takes data in while nobody reads.
///
/// So whoever did not read for a while, because the queue was full, because the connection had to wait for its turn, or
/// because the process was stopped, may read what is as old as that, until a read finds the kernel empty.
struct ArrivalClock {
  /// How often the event loop shows that it runs; nil: it does not, and stops are not noticed.
  var resolution: TimeAmount?
  /// When the event loop ran the last time, as far as it shows it.
  private var lastTick: NIODeadline
  /// Since when nothing was read that may have come; nil where the kernel was empty.
  private var unreadSince: NIODeadline?

  init(resolution: TimeAmount?, now: NIODeadline) {
    self.resolution = resolution
    lastTick = now
  }

  /// The event loop runs.
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
    // Twice: a tick may be late by a little.
    guard let resolution, now - lastTick > resolution * 2 else { return }
    unreadSince = min(unreadSince ?? now, lastTick)
    lastTick = now
  }
}
