import Testing

@testable import Relay

/// The wheel against a list of deadlines, from each of its slots on. How it works: connections are given deadlines, and
/// other ones while they wait; the clock goes on by a little or by hours; who comes up early is put off, as a shard
/// does it. Nobody comes up who has no deadline, everybody within a tick or two behind theirs, and no sleep that the
/// wheel allows is too long.
@Suite struct TimerWheelProperties {
  private static let tick: UInt64 = 1 << Limits.wheelTickShift

  @Test(arguments: 0..<16) func `everybody comes up in time`(sixteenth: Int) throws {
    var connections = try ConnectionTable()
    for socket in 0..<24 as Range<Int32> { _ = connections.add(socket, at: 0) }
    for slot in stride(from: sixteenth, to: Limits.wheelSlots, by: 16) {
      for index in 0..<24 as Range<UInt32> { connections[index].timer = TimerLink() }
      run(from: (1000 * 256 + UInt64(slot)) * Self.tick, connections)
    }
  }

  private func run(from start: UInt64, _ connections: borrowing ConnectionTable) {
    var random = SeededRandom(seed: start)
    var now = start + UInt64(random.below(Int(Self.tick)))
    var wheel = TimerWheel(now: now)
    var deadlines: [UInt32: UInt64] = [:]
    for _ in 0..<150 {
      switch random.below(4) {
      case 0, 1:
        let index = UInt32(random.below(24))
        // Also ones that are over, and ones beyond the wheel.
        let ahead = UInt64(random.below([2, 30, 600][random.below(3)])) * Self.tick / 2
        let deadline = random.oneIn(8) ? now - min(now, ahead) : now + ahead
        // Who is late already comes up as soon as may be.
        deadlines[index] = max(deadline, now)
        wheel.arm(index, at: deadline, connections)
      case 2:
        let index = UInt32(random.below(24))
        wheel.unlink(index, connections)
        deadlines[index] = nil
      default:
        now += UInt64(random.below([1, 3, 40, 1000][random.below(4)])) * Self.tick / 3
        expire(&wheel, now, connections, &deadlines)
      }
      // A sleep until the wheel's next deadline is never too long.
      let next = wheel.nextDeadline()
      if let first = deadlines.values.min() { expect(next <= max(first, now) + 2 * Self.tick) }
      let linked = (0..<24 as Range<UInt32>).filter { connections[$0].timer.tick != 0 }
      expect(Set(linked) == Set(deadlines.keys))
      expect((next == .max) == deadlines.isEmpty)
    }
  }

  private func expire(
    _ wheel: inout TimerWheel, _ now: UInt64, _ connections: borrowing ConnectionTable,
    _ deadlines: inout [UInt32: UInt64]
  ) {
    var comeUp = 0
    while true {
      let isDue = wheel.isDue(now: now)
      let due = wheel.nextDue(now: now, connections)
      expect(isDue == (due != nil))
      guard let due else { break }
      comeUp += 1
      guard comeUp <= 1000 else {
        Issue.record("the same ones come up for ever")
        return
      }
      guard let deadline = deadlines[due] else {
        Issue.record("\(due) has no deadline")
        continue
      }
      if deadline > now { wheel.arm(due, at: deadline, connections) } else { deadlines[due] = nil }
    }
    let late = deadlines.filter { $0.value + 2 * Self.tick < now }
    expect(late.isEmpty)
  }
}
