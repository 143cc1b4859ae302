import Testing

@testable import Voltlane

/// Lists of sessions are made one at a time, and leave the shards three quarters of the time, whoever asks how often.
@Suite struct ListQueueTests {
  /// A clock that a test sets.
  private final class Clock {
    var now = ContinuousClock.now
  }

  @Test func oneAtATimeWithARestAfterEach() {
    let clock = Clock()
    let queue = ListQueue(now: clock.now)
    var begun: [Int] = []
    var finish: (() -> Void)?
    func advance() { queue.advance(now: clock.now) { clock.now } }
    for number in 0..<3 {
      queue.add { finished in
        begun.append(number)
        finish = finished
      }
    }
    #expect(queue.wait(now: clock.now) == .zero)
    advance()
    advance()
    #expect(begun == [0] && queue.wait(now: clock.now) == nil)
    clock.now += .milliseconds(50)
    finish?()
    #expect(queue.wait(now: clock.now) == .milliseconds(150))
    advance()
    #expect(begun == [0])
    clock.now += .milliseconds(150)
    #expect(queue.wait(now: clock.now) == .zero)
    advance()
    #expect(begun == [0, 1])
    // A shard that does not get round to answering does not make everybody wait for minutes.
    clock.now += .seconds(100)
    finish?()
    #expect(queue.wait(now: clock.now) == .seconds(1))
    clock.now += .seconds(1)
    advance()
    finish?()
    #expect(begun == [0, 1, 2] && queue.wait(now: clock.now) == nil)
  }

  /// Who has hung up holds nobody up, and too many are not let in.
  @Test func whatNobodyWantsIsNotMade() {
    let clock = Clock()
    let queue = ListQueue(now: clock.now)
    let gone = Asker()
    var begun: [Int] = []
    for number in 0..<ListQueue.most {
      queue.add(for: number == 3 ? nil : gone) { finished in
        begun.append(number)
        finished()
      }
    }
    #expect(queue.isFull)
    gone.leave()
    #expect(!queue.isFull)
    queue.advance(now: clock.now) { clock.now }
    #expect(begun == [3] && queue.wait(now: clock.now) == nil)
  }

  /// However many ask, lists take a quarter of the time.
  @Test func aQuarterOfTheTime() {
    let clock = Clock()
    let queue = ListQueue(now: clock.now)
    let start = clock.now
    var made = 0
    while start.duration(to: clock.now) < .seconds(60) {
      queue.add { finished in
        clock.now += .milliseconds(10)
        made += 1
        finished()
      }
      queue.advance(now: clock.now) { clock.now }
      clock.now += .milliseconds(1)
    }
    #expect(made * 10 <= 60_000 / 4 + 10 && made * 10 > 60_000 / 5)
  }
}
