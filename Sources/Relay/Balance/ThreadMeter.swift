import CLinux

/// What a thread has taken of the CPUs since it began, in nanoseconds.
struct ThreadMeter: Sendable {
  /// The kernel's number of the thread; 0 until it has begun.
  private let id: SharedWord

  init(_ arena: Arena) { id = SharedWord(arena) }

  /// Called on the thread itself.
  func begin() { id.published = UInt64(truncatingIfNeeded: voltlane_thread_id()) }

  /// Time on a CPU, and time in which it could have run and waited for one.
  var times: (cpu: UInt64, waited: UInt64) {
    let thread = Int32(truncatingIfNeeded: id.published)
    guard thread != 0 else { return (0, 0) }
    let times = voltlane_thread_times(thread)
    return (times.cpu, times.waited)
  }
}
