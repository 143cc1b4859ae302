import CLinux

/// What a thread has taken of the CPUs since it began, in nanoseconds.
struct ThreadMeter: Sendable {
  /// The kernel's number of the thread; 0 until it has begun.
  private let id: SharedWord
  private let watched: SharedWord
  private let slept: SharedWord
  /// Since when it has been asleep; 0 while it is not.
  private let sleepsSince: SharedWord

  init(_ arena: Arena) {
    id = SharedWord(arena)
    watched = SharedWord(arena)
    slept = SharedWord(arena)
    sleepsSince = SharedWord(arena)
  }

  /// Called on the thread itself.
  func begin() { id.published = UInt64(truncatingIfNeeded: voltlane_thread_id()) }

  /// Time on a CPU, and time in which it could have run and waited for one.
  var times: (cpu: UInt64, waited: UInt64) {
    let thread = Int32(truncatingIfNeeded: id.published)
    guard thread != 0 else { return (0, 0) }
    let times = voltlane_thread_times(thread)
    return (times.cpu, times.waited)
  }

  // MARK: Sleeps

  /// Whether the thread notes how long it sleeps, which costs it a call before each sleep.
  @inline(__always) var isWatched: Bool {
    get { watched.isRaised }
    nonmutating set { watched.published = newValue ? 1 : 0 }
  }

  /// Called on the thread itself.
  func sleeps(at moment: UInt64) { sleepsSince.published = moment }

  func wakes(at moment: UInt64) {
    slept.published = slept.relaxed &+ moment &- min(moment, sleepsSince.relaxed)
    sleepsSince.published = 0
  }

  /// How long it has slept while it was watched, a sleep that still lasts included.
  func slept(by moment: UInt64) -> UInt64 {
    let since = sleepsSince.published
    return slept.published &+ (since == 0 ? 0 : moment &- min(moment, since))
  }
}
