import Testing

@testable import Relay

/// What keeps a turn from never ending: deadlines that are put off to a time that is over, and connections that leave
/// the list of those to be read without a turn.
@Suite struct TurnOrderTests {
  /// A connection that is put off while its slot is emptied does not come up again in the same slot.
  @Test func whoIsPutOffToAnEarlierTimeComesUpOnceATick() throws {
    var connections = try ConnectionTable()
    guard let index = connections.add(7, at: 0) else { throw RelayError.system(call: "add", errno: 0) }
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

  /// Nobody waits for those that leave the list, or that come later: a moment is past once all others that were on the
  /// list then have been taken.
  @Test(arguments: [[], [0], [1, 3], [4], [0, 1, 2, 3, 4]] as [[UInt32]])
  func whoLeavesTheListIsNotWaitedFor(leaving: [UInt32]) throws {
    var connections = try ConnectionTable()
    var list = ReadyList(.clients)
    for number in 0..<5 as Range<Int32> { connections.add(number, at: 0).map { list.append($0, connections) } }
    #expect(list.count == 5)
    let place = list.appended
    for index in leaving { list.remove(index, connections) }
    try list.checkInvariants(connections)
    #expect(list.count == 5 - leaving.count)
    // Those that come later are not waited for either.
    connections.add(9, at: 0).map { list.append($0, connections) }
    try list.checkInvariants(connections)
    for left in (0..<5 - leaving.count).reversed() {
      let isPast = list.isPast(place, connections)
      #expect(!isPast, "\(left + 1) have not been taken")
      let taken = list.popFirst(connections)
      #expect(taken.map { !leaving.contains($0) && $0 < 5 } == true)
      try list.checkInvariants(connections)
    }
    let isPast = list.isPast(place, connections)
    #expect(isPast)
    #expect(list.count == 1)
  }
}
