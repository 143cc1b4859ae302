/// A connection's place in the wheel.
struct TimerLink: BitwiseCopyable {
  var next: UInt32 = .none
  var previous: UInt32 = .none
  /// The tick of the slot that it is in; 0 if it is in none.
  var tick: UInt64 = 0
}

/// The deadlines of a shard's connections, coarse and cheap: a ring of slots, each of which is a list linked through
/// the connections themselves. A timer allocates nothing, and a deadline that moves to a later time costs nothing until
/// its old slot comes up.
///
/// Invariant: a linked connection is in slot `tick % slots` with `now's tick <= tick < now's tick + slots`, and its
/// deadline is not before that tick; the bitmap has a bit for each slot that is not empty.
struct TimerWheel: ~Copyable {
  private var heads = InlineArray<256, UInt32>(repeating: .none)
  private var occupied = InlineArray<4, UInt64>(repeating: 0)
  /// The first tick whose slot has not been emptied, and whether it is being emptied: from the moment at which its
  /// first connection comes up until none is left.
  private var cursor: UInt64
  private var isEmptying = false

  init(now: UInt64) {
    // A constant: the arrays above have that many places.
    precondition(Limits.wheelSlots == 256)
    cursor = TimerWheel.tick(now)
  }

  private static func tick(_ time: UInt64) -> UInt64 { time >> Limits.wheelTickShift }

  /// Makes the connection come up within a tick after `time`. Cheap if it comes up earlier anyway.
  mutating func arm(_ index: UInt32, at time: UInt64, _ connections: borrowing ConnectionTable) {
    // Rounded up, and never into a slot that has been emptied or is being emptied: otherwise a connection whose time is
    // in the past would come up again at once, for ever.
    let due = max(TimerWheel.tick(time) &+ 1, isEmptying ? cursor &+ 1 : cursor)
    let tick = min(due, cursor &+ UInt64(Limits.wheelSlots - 1))
    let linked = connections[index].timer.tick
    if linked != 0 {
      guard tick < linked else { return }
      unlink(index, connections)
    }
    let slot = Int(tick % UInt64(Limits.wheelSlots))
    connections[index].timer = TimerLink(next: heads[slot], previous: .none, tick: tick)
    if heads[slot] != .none { connections[heads[slot]].timer.previous = index }
    heads[slot] = index
    occupied[slot / 64] |= 1 << UInt64(slot % 64)
  }

  mutating func unlink(_ index: UInt32, _ connections: borrowing ConnectionTable) {
    let link = connections[index].timer
    guard link.tick != 0 else { return }
    let slot = Int(link.tick % UInt64(Limits.wheelSlots))
    if link.previous != .none {
      connections[link.previous].timer.next = link.next
    } else {
      heads[slot] = link.next
      if link.next == .none { occupied[slot / 64] &= ~(1 << UInt64(slot % 64)) }
    }
    if link.next != .none { connections[link.next].timer.previous = link.previous }
    connections[index].timer = TimerLink()
  }

  /// Takes the next connection whose slot has come up out of the wheel. Its deadline may be later by now.
  mutating func nextDue(now: UInt64, _ connections: borrowing ConnectionTable) -> UInt32? {
    let current = TimerWheel.tick(now)
    isEmptying = false
    while cursor <= current {
      let head = heads[Int(cursor % UInt64(Limits.wheelSlots))]
      if head != .none {
        unlink(head, connections)
        isEmptying = true
        return head
      }
      guard let next = nextOccupied() else {
        cursor = current &+ 1
        return nil
      }
      cursor = min(next, current &+ 1)
    }
    return nil
  }

  /// Whether a slot that is not empty has come up.
  @inline(__always)
  mutating func isDue(now: UInt64) -> Bool {
    let current = TimerWheel.tick(now)
    return cursor <= current && isDue(by: current)
  }

  private mutating func isDue(by current: UInt64) -> Bool {
    if let next = nextOccupied(), next <= current { return true }
    cursor = current &+ 1
    return false
  }

  /// When the next slot comes up; `.max` if the wheel is empty. This is mutating, like everything here, only because
  /// the compiler copies a struct of this size for a call that borrows it.
  mutating func nextDeadline() -> UInt64 {
    guard let tick = nextOccupied() else { return .max }
    return tick << Limits.wheelTickShift
  }

  /// The first tick, from `cursor` on, whose slot is not empty.
  private mutating func nextOccupied() -> UInt64? {
    let start = Int(cursor % UInt64(Limits.wheelSlots))
    for step in 0...4 {
      let word = (start / 64 + step) % 4
      var bits = occupied[word]
      if step == 0 { bits &= ~0 << UInt64(start % 64) }
      if step == 4 { bits &= (1 << UInt64(start % 64)) - 1 }
      guard bits != 0 else { continue }
      let slot = word * 64 + bits.trailingZeroBitCount
      return cursor &+ UInt64((slot - start + Limits.wheelSlots) % Limits.wheelSlots)
    }
    return nil
  }
}

#if DEBUG
extension TimerWheel {
  /// Returns how many connections are in the wheel.
  func checkInvariants(_ connections: borrowing ConnectionTable) throws(InvariantViolation) -> Int {
    var found = 0
    for slot in 0..<Limits.wheelSlots {
      var (index, before) = (heads[slot], UInt32.none)
      let bit = occupied[slot / 64] >> UInt64(slot % 64) & 1
      try require((bit == 1) == (index != .none), "the bit of slot \(slot) of the wheel is wrong")
      while index != .none {
        let link = connections[index].timer
        let isInReach = link.tick >= cursor && link.tick < cursor + UInt64(Limits.wheelSlots)
        try require(isInReach, "connection \(index) comes up at tick \(link.tick), now is \(cursor)")
        try require(Int(link.tick % UInt64(Limits.wheelSlots)) == slot, "connection \(index) is in slot \(slot)")
        try require(link.previous == before, "connection \(index) does not follow \(before) in the wheel")
        found += 1
        try require(found <= connections.count, "the wheel has a loop")
        (before, index) = (index, link.next)
      }
    }
    return found
  }

  /// Whether a connection comes up in time for a deadline.
  func isArmed(_ link: TimerLink, for deadline: UInt64) -> Bool {
    link.tick != 0 && link.tick <= max(TimerWheel.tick(deadline) &+ 1, cursor &+ 1)
  }
}
#endif
