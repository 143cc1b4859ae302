/// The time that is left for something, not counting the time during which the process stands still: while it is
/// stopped, or its machine is paused. Whoever waits looks at least once a second; a look that comes much later follows
/// a standstill.
struct TimeLeft {
  private(set) var left: Duration
  private var looked: ContinuousClock.Instant

  /// The longest time between two looks that counts.
  private static let longest = Duration.milliseconds(1250)

  init(_ duration: Duration, now: ContinuousClock.Instant = .now) {
    left = duration
    looked = now
  }

  var isOver: Bool { left <= .zero }

  /// How long to wait at most before looking again.
  var wait: Duration { min(left, .seconds(1)) }

  mutating func look(now: ContinuousClock.Instant = .now) {
    left -= min(looked.duration(to: now), Self.longest)
    looked = now
  }
}
