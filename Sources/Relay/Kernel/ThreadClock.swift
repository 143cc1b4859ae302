import Glibc

/// A thread's clock, by which deadlines are set and judged. It leaves out the time that the thread stood still: while
/// the process was stopped, its machine paused or its share of the CPU used up, nobody was read, so nobody is late.
///
///     the machine's clock  --|----- asked for -----|- standstill -|- - stopped - - |--->
///     this clock           --|                                                     |--->
///
/// A thread notices a standstill when its next look at the clock comes much later than planned. It then leaves out the
/// whole time since the last look, because nobody knows when in it the thread was stopped. To keep that short, a sleep
/// with a deadline lasts a second at most; a standstill that goes unnoticed is shorter than that and
/// `Limits.standstill`. A thread that gets the CPU so rarely that every look is late still has a clock that advances.
///
/// Invariant: `now + stoodStill` is the machine's clock at the last look.
struct ThreadClock {
  private(set) var now: UInt64
  /// Everything that was left out.
  private(set) var stoodStill: UInt64 = 0
  /// When the next look is due, on the machine's clock.
  private var lookDue: UInt64 = .max
  /// When the last standstill ended, on this clock, and how long it was.
  private var lastStandstillEnd: UInt64 = 0
  private var lastStandstill: UInt64 = 0

  init(machine: UInt64) { now = machine }

  /// What the machine's clock says at this very moment.
  @inline(__always)
  static func machineNow() -> UInt64 {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return UInt64(time.tv_sec) &* Limits.second &+ UInt64(time.tv_nsec)
  }

  /// The machine's clock. What threads share must be judged by it, because each thread has stood still on its own.
  @inline(__always) var machine: UInt64 { now &+ stoodStill }

  /// For as long after a standstill as it lasted, what arrives may be what clients sent meanwhile: how long that was.
  @inline(__always) var grace: UInt64 {
    lastStandstill != 0 && now &- lastStandstillEnd < lastStandstill ? lastStandstill : 0
  }

  /// The last standstill; on the machine's clock, which all threads have.
  var standstill: Standstill { Standstill(length: lastStandstill, end: lastStandstillEnd &+ stoodStill) }

  /// A role comes from a thread that stood still, or has one of its own: what arrives for it may date from then.
  mutating func takeOver(_ other: Standstill) {
    guard other.length > grace, machine &- other.end < other.length else { return }
    lastStandstill = other.length
    lastStandstillEnd = other.end &- stoodStill
  }

  /// The thread begins a sleep: until when at most, on the machine's clock.
  mutating func sleeps(until deadline: UInt64) -> UInt64 {
    guard deadline != .max else {
      lookDue = .max
      return .max
    }
    let end = min(max(deadline, now), now &+ Limits.longestSleep) &+ stoodStill
    lookDue = end &+ Limits.standstill
    return end
  }

  /// The thread looks again without having slept.
  @inline(__always)
  mutating func staysAwake() { lookDue = machine &+ Limits.standstill }

  /// The thread has looked at the machine's clock.
  @inline(__always)
  mutating func look(_ machine: UInt64) {
    if machine > lookDue { leaveOut(machine &- self.machine) }
    now = machine &- stoodStill
  }

  @inline(never)
  private mutating func leaveOut(_ time: UInt64) {
    let goesOn = stoodStill > 0 && now &- lastStandstillEnd < Limits.second
    let left = goesOn ? time &- Limits.standstill : time
    lastStandstill = grace &+ left
    lastStandstillEnd = now &+ time &- left
    stoodStill &+= left
  }
}

/// How long a thread stood still, and when that ended, on the machine's clock.
struct Standstill {
  var length: UInt64 = 0
  var end: UInt64 = 0
}
