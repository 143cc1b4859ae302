/// The clock for what clients send: the deadlines of their packets, and their silence. It stands still while the shard
/// does not read clients because the uplink is full: that delay is caused by the backend.
///
/// Invariant: the time of this clock never goes back, and is never later than the thread's.
struct ReadingClock {
  /// For how long it has stood still, up to `stoppedSince`.
  private(set) var delay: UInt64 = 0
  /// In the thread's time; `.max` while the clock is running.
  private var stoppedSince: UInt64 = .max

  @inline(__always) var isStopped: Bool { stoppedSince != .max }

  /// What it shows at a moment of the thread's time.
  @inline(__always)
  func time(at moment: UInt64) -> UInt64 { min(moment, stoppedSince) &- delay }

  /// The thread's time at which it will show `time`, if it does not stand still once more until then.
  @inline(__always)
  func moment(of time: UInt64) -> UInt64 { time.adding(delay) }

  mutating func stop(at moment: UInt64) {
    if stoppedSince == .max { stoppedSince = moment }
  }

  mutating func start(at moment: UInt64) {
    guard isStopped else { return }
    delay &+= moment &- stoppedSince
    stoppedSince = .max
  }
}

#if DEBUG
extension ReadingClock {
  func checkInvariants(now: UInt64) throws(InvariantViolation) {
    try require(!isStopped || stoppedSince <= now, "the reading clock has stood still since a time to come")
    try require(delay <= now, "the reading clock has stood still for longer than there was time")
  }
}
#endif
