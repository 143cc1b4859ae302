import Testing

@testable import Relay

/// What keeps a turn from never ending: deadlines that are put off to a time that is over, and connections that leave
/// the list of those to be read without a turn.
@Suite struct TurnOrderTests {
  /// A connection that is put off while its slot is emptied does not come up again in the same slot.
  @Test func whoIsPutOffToAnEarlierTimeComesUpOnceATick() throws {
    var connections = try ConnectionTable()
    guard let index = connections.add(7) else { throw RelayError.system(call: "add", errno: 0) }
    var wheel = TimerWheel(now: 0)
    let (deadline, now) = (Limits.second, 2 * Limits.second)
    wheel.arm(index, at: deadline, connections)
    var times: UInt64 = 0
    while let due = wheel.nextDue(now: now, connections), times < 1000 {
      times += 1
      wheel.arm(due, at: deadline, connections)
    }
    #expect(times <= now >> Limits.wheelTickShift)
    // It is still there, and comes up again later.
    let later = wheel.nextDue(now: now + Limits.second, connections)
    #expect(later == index)
  }

  /// Those who were on the list at some moment have all been taken once as many were popped as are left of them.
  @Test(arguments: [[], [0], [1, 3], [0, 1, 2, 3, 4]])
  func whoLeavesTheListIsNotWaitedFor(leaving: [UInt32]) throws {
    var connections = try ConnectionTable()
    var list = ReadyList()
    for number in 0..<5 as Range<Int32> { connections.add(number).map { list.append($0, connections) } }
    #expect(list.count == 5)
    var catchUp = CatchUp(step: .lists(ready: list.appended, aside: 0), since: 0)
    let (place, count) = (list.appended, list.count)
    for _ in 0..<count {
      guard let index = list.popFirst(connections) else { break }
      if !leaving.contains(index) { list.append(index, connections) }
    }
    catchUp.lost(list.wereSorted(since: place, count), of: list)
    #expect(list.count == 5 - leaving.count)
    // Those who come later are not waited for either.
    connections.add(9).map { list.append($0, connections) }
    for left in (0..<5 - leaving.count).reversed() {
      guard case .lists(let ready, _) = catchUp.step else { return }
      #expect(!list.isPast(ready), "\(left + 1) have not been taken")
      _ = list.popFirst(connections)
    }
    guard case .lists(let ready, _) = catchUp.step else { return }
    #expect(list.isPast(ready))
  }
}
