import Testing

@testable import Relay

/// When a thread waits for more: traffic as the waits of a thread see it.
@Suite struct CoalescingTests {
  /// A thread and its clients. Times are nanoseconds.
  private struct Thread {
    var coalescing = Coalescing(time: 100_000)
    var now: UInt64 = 1
    var reaped = 0
    /// Waits for more among those that ``run(_:_:)`` made.
    var coalesced = 0

    /// Makes `count` waits. `next` is told whether the thread waits for more, and says how many clients were found to
    /// have sent after how long, and whether the thread slept for it.
    mutating func run(_ count: UInt64, _ next: (Bool) -> (reads: Int, after: UInt64, slept: Bool)) {
      coalesced = 0
      for _ in 0..<count {
        var (reads, after, slept) = next(false)
        if coalescing.waitsForMore(reaped: reaped, reads: reaped, isIdle: slept, now: now) {
          coalesced += 1
          (reads, after, slept) = next(true)
        }
        reaped = reads
        now += after
      }
    }
  }

  private static let sample = Limits.coalescingSample

  /// 40,000 packets a second, whatever the relay does. Now and then two come at once.
  private static func crowd() -> (Bool) -> (reads: Int, after: UInt64, slept: Bool) {
    var count = 0
    return { waits in
      count += 1
      return waits ? (4, 100_000, true) : count % 8 == 0 ? (2, 50_000, true) : (1, 25_000, true)
    }
  }

  @Test func aCrowdThatSendsOneByOneIsWaitedFor() {
    var thread = Thread()
    thread.run(Self.sample, Self.crowd())
    #expect(thread.coalesced == 0)
    thread.run(Self.sample * 4, Self.crowd())
    #expect(thread.coalesced > Self.sample * 3)
  }

  /// The traffic is looked at again, for a sample, and then waited for again.
  @Test func aCrowdIsWatchedNowAndThen() {
    var thread = Thread()
    let crowd = Self.crowd()
    thread.run(Self.sample, crowd)
    var without = 0
    let waits = 3 * Limits.coalescingPeriod / 100_000
    for _ in 0..<waits {
      thread.run(1, crowd)
      without += 1 - thread.coalesced
    }
    #expect(without >= Self.sample && without < waits / 4)
  }

  /// That fewer send now is not the waiting's doing, as a sample without it shows.
  @Test func aCrowdThatBecomesSmallerIsStillWaitedFor() {
    var thread = Thread()
    thread.run(Self.sample * 2, Self.crowd())
    let smaller: (Bool) -> (reads: Int, after: UInt64, slept: Bool) = { _ in (2, 100_000, true) }
    thread.run(Self.sample * 2, smaller)
    thread.run(Self.sample * 4, smaller)
    #expect(thread.coalesced > Self.sample * 3)
  }

  @Test func withoutATimeNothingIsWaitedFor() {
    var thread = Thread()
    thread.coalescing = Coalescing(time: 0)
    thread.run(Self.sample * 10, Self.crowd())
    #expect(thread.coalesced == 0)
  }

  @Test func aLoneClientIsNeverWaitedFor() {
    var thread = Thread()
    thread.run(Self.sample * 100) { _ in (1, 20_000, true) }
    #expect(thread.coalesced == 0)
  }

  @Test func aThreadThatNeverSleepsDoesNotWait() {
    var thread = Thread()
    thread.run(Self.sample * 100) { _ in (20, 50_000, false) }
    #expect(thread.coalesced == 0)
  }

  @Test func raritiesAreNotWaitedFor() {
    var thread = Thread()
    thread.run(Self.sample * 100) { _ in (2, 1_000_000, true) }
    #expect(thread.coalesced == 0)
  }

  /// Ten clients that send again when they are answered: what is held up is sent later. They are tried ever more
  /// seldom.
  @Test func clientsThatWaitForAnswersAreLeftAlone() {
    var thread = Thread()
    let ten: (Bool) -> (reads: Int, after: UInt64, slept: Bool) = { $0 ? (10, 130_000, true) : (2, 15_000, true) }
    thread.run(Self.sample, ten)
    thread.run(Self.sample, ten)
    // The last one draws the conclusion.
    #expect(thread.coalesced == Self.sample - 1)
    thread.run(Self.sample, ten)
    #expect(thread.coalesced == 0)
    thread.run(20 * Limits.second / 15_000, ten)
    #expect(thread.coalesced > 0 && thread.coalesced <= 8 * Self.sample)
    // They have become a crowd: it is waited for, once the rest is over.
    thread.run(Limits.coalescingRestLongest / 20_000, Self.crowd())
    thread.run(10 * Self.sample, Self.crowd())
    #expect(thread.coalesced > 8 * Self.sample)
  }
}
