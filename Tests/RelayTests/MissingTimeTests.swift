import Testing

@testable import Relay

/// How busy a thread is where the kernel does not count all of it as the thread's time.
@Suite struct MissingTimeTests {
  /// Whether threads are watched after a measurement in which one had this much of a CPU.
  private func watches(_ missing: inout MissingTime, cpu: Double) -> Bool {
    missing.watches(isInDoubt: missing.matters(cpu: cpu))
  }

  @Test func whatWasNotSleptAwayWasBusy() {
    var missing = MissingTime()
    #expect(missing.busy(cpu: 0.6, waited: 0.02, slept: nil) == 0.6)
    #expect(watches(&missing, cpu: 0.6))
    #expect(missing.busy(cpu: 0.6, waited: 0.02, slept: 0) == 0.98)
  }

  /// By what was last found: threads that are not watched, because they have less to do, are not taken for idle.
  @Test func othersAreEstimated() {
    var missing = MissingTime()
    _ = missing.busy(cpu: 0.5, waited: 0, slept: 0.25)
    #expect(missing.factor == 1.5)
    #expect(missing.busy(cpu: 0.2, waited: 0, slept: nil) == 0.2 * 1.5)
    // It has not been busy while it waited, and has been while it had a CPU.
    #expect(missing.busy(cpu: 0.7, waited: 0.1, slept: nil) == 0.9)
    #expect(missing.busy(cpu: 0.95, waited: 0.1, slept: nil) == 0.95)
  }

  /// Neither where something is missing, nor where nothing is: threads that note their sleeps do more than others.
  @Test(arguments: [0.27, 0]) func itIsRarelyLookedFor(slept: Double) {
    var missing = MissingTime()
    #expect(watches(&missing, cpu: 0.6))
    #expect(missing.busy(cpu: 0.6, waited: 0.1, slept: slept) == (slept == 0 ? 0.9 : 0.6))
    let pause = (1...1000).first { _ in watches(&missing, cpu: 0.6) }
    #expect(pause == Limits.missingTimePause)
  }

  @Test func whoHasLittleOrAllIsNotWatched() {
    var missing = MissingTime()
    for cpu in [0, 0.2, Limits.busyToSpread, 1] { #expect(!watches(&missing, cpu: cpu)) }
    // A sleep that is noted meanwhile says nothing new.
    #expect(missing.busy(cpu: 0.2, waited: 0, slept: 0) == 0.2)
    #expect(missing.factor == 1)
  }

  @Test func sleepsAreAddedUp() {
    let meter = ThreadMeter(Arena.forTests)
    #expect(!meter.isWatched && meter.slept(by: 100) == 0)
    meter.sleeps(at: 100)
    #expect(meter.slept(by: 130) == 30)
    meter.wakes(at: 150)
    #expect(meter.slept(by: 1000) == 50)
    meter.sleeps(at: 1000)
    #expect(meter.slept(by: 1100) == 150)
    // The clocks of two threads may be read in another order.
    #expect(meter.slept(by: 999) == 50)
  }
}
