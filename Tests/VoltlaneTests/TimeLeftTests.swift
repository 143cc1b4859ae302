import Testing

@testable import Voltlane

@Suite struct TimeLeftTests {
  @Test func aStandstillIsLeftOut() {
    let begin = ContinuousClock.now
    var time = TimeLeft(.seconds(5), now: begin)
    #expect(time.wait == .seconds(1))
    time.look(now: begin + .seconds(1))
    // Stopped for hours.
    time.look(now: begin + .seconds(20_000))
    #expect(!time.isOver)
    for second in 1...2 {
      time.look(now: begin + .seconds(20_000 + second))
      #expect(!time.isOver)
    }
    #expect(time.wait == .milliseconds(750))
    time.look(now: begin + .milliseconds(20_002_750))
    #expect(time.isOver)
  }
}
