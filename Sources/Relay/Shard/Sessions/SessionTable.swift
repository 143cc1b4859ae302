import VoltlaneCrypto

/// A shard's sessions, found by id with arithmetic and one comparison.
///
/// Invariant: a slot is in the list of free ones, or retired, or used; `live` counts those attached or stale.
struct SessionTable: ~Copyable {
  private(set) var slots: SlotMemory<Session>
  /// Where each session's client connected from last, with `--addresses on`: beside the slots, so that it costs nothing
  /// where it is off.
  let origins: SlotMemory<ClientOrigin>
  private let ids: ClientIDs
  private let shard: Int
  private var free: UInt32 = .none
  private(set) var used: UInt32 = 0
  /// Sessions of which the backend is owed something.
  private var owedFirst: UInt32 = .none
  private var owedLast: UInt32 = .none
  private(set) var live = 0

  init(shard: Int, ids: ClientIDs) throws(RelayError) {
    let slots = try SlotMemory<Session>(capacity: SessionTable.capacity(of: ids))
    origins = try SlotMemory(capacity: SessionTable.capacity(of: ids))
    self.slots = slots
    self.ids = ids
    self.shard = shard
  }

  /// Sessions of a shard, at most.
  static func capacity(of ids: ClientIDs) -> Int { min(ids.slotsPerShard, 2 * Limits.connectionsPerShard) }

  subscript(slot: UInt32) -> Session {
    @inline(__always) unsafeAddress { slots.address(slot) }
    @inline(__always) nonmutating unsafeMutableAddress { slots.mutableAddress(slot) }
  }

  /// The session with this id, or nil where there is none that is attached. `slot` is where the id says that it is: no
  /// other slot ever has that id.
  @inline(__always)
  func find(_ id: UInt64, at slot: UInt32) -> UInt32? {
    guard slot < used else { return nil }
    return slots[slot].id == id && slots[slot].state == .attached ? slot : nil
  }

  /// The session with this id, attached or stale.
  func findLive(_ id: UInt64, at slot: UInt32) -> UInt32? {
    guard slot < used, slots[slot].id == id else { return nil }
    switch slots[slot].state {
    case .attached, .halfClosed, .stale: return slot
    case .free, .ending: return nil
    }
  }

  /// The shard whose session this id would be, and the slot there.
  func place(of id: UInt64) -> (shard: Int, slot: UInt32) { ids.place(of: id) }

  /// A new session for a client with this key; nil where all slots are in use.
  mutating func start(connection: UInt32, key: PublicKey, address: AddressKey, now: UInt64) -> UInt32? {
    let slot: UInt32
    if free != .none {
      slot = free
      free = slots[slot].next
    } else {
      guard used < slots.capacity else { return nil }
      slot = used
      used += 1
    }
    let generation = slots[slot].generation
    slots[slot] = Session(
      id: ids.id(shard: shard, slot: slot, generation: generation), generation: generation + 1, address: address,
      connection: connection, began: Ticks(now), state: .attached, publicKey: key)
    live += 1
    return slot
  }

  /// Ends a session whose 0x01 is in the lane.
  mutating func remove(_ slot: UInt32) {
    live -= 1
    release(slot)
  }

  /// Ends a session whose 0x01 has to wait: the slot itself keeps it, so that none is ever lost.
  mutating func owe(_ slot: UInt32, _ reason: CloseReason) {
    live -= 1
    slots[slot].state = .ending
    slots[slot].reason = reason
    owe(slot, .failure)
  }

  /// The backend is to be told of a session as soon as there is room.
  mutating func owe(_ slot: UInt32, _ what: Session.Owed) {
    defer { slots[slot].owed.formUnion(what) }
    guard slots[slot].owed.isEmpty else { return }
    slots[slot].owedNext = .none
    if owedLast == .none { owedFirst = slot } else { slots[owedLast].owedNext = slot }
    owedLast = slot
  }

  /// The session of which the backend has been owed something for the longest.
  var firstOwed: UInt32? { owedFirst == .none ? nil : owedFirst }

  /// The backend was told all that it was owed of a live session, before its turn in the list.
  func settle(_ slot: UInt32) {
    if !slots[slot].owed.isEmpty { slots[slot].owed = .nothing }
  }

  /// The backend was told `what` of the first: of a session that is over, its 0x01 was the last.
  mutating func removeFirstOwed(_ what: Session.Owed) {
    let slot = owedFirst
    slots[slot].owed.remove(what)
    guard slots[slot].owed.isEmpty else { return }
    owedFirst = slots[slot].owedNext
    if owedFirst == .none { owedLast = .none }
    if slots[slot].state == .ending { release(slot) }
  }

  private mutating func release(_ slot: UInt32) {
    slots[slot].state = .free
    // A cell whose generations are used up is retired: its next id would be its first again.
    guard slots[slot].generation < ClientIDs.generations else { return }
    slots[slot].next = free
    free = slot
  }
}

#if DEBUG
extension SessionTable {
  func checkInvariants() throws(InvariantViolation) {
    var (slot, freed) = (free, 0)
    while slot != .none {
      try require(slots[slot].state == .free, "session \(slot) is listed as free and is not")
      freed += 1
      try require(freed <= Int(used), "the list of free sessions has a loop")
      slot = slots[slot].next
    }
    var (owed, before) = (0, UInt32.none)
    slot = owedFirst
    var listed = 0
    while slot != .none {
      let (state, isOver) = (slots[slot].state, slots[slot].owed.contains(.failure))
      try require(!slots[slot].owed.isEmpty, "session \(slot) waits to be reported for nothing")
      try require(isOver == (state == .ending) && state != .free, "session \(slot) is \(state), \(isOver)")
      owed += isOver ? 1 : 0
      listed += 1
      try require(listed <= Int(used), "the list of sessions to be reported has a loop")
      (before, slot) = (slot, slots[slot].owedNext)
    }
    try require(owedLast == before, "the last session to be reported is \(before), not \(owedLast)")
    let waiting = (0..<used).count { !slots[$0].owed.isEmpty }
    try require(waiting == listed, "\(waiting) sessions wait to be reported, \(listed) are listed")
    var counts = (live: 0, ending: 0, retired: 0)
    for slot in 0..<used {
      switch slots[slot].state {
      case .attached, .halfClosed, .stale: counts.live += 1
      case .ending: counts.ending += 1
      case .free: if slots[slot].generation >= ClientIDs.generations { counts.retired += 1 }
      }
    }
    try require(counts.live == live, "\(counts.live) sessions live, not \(live)")
    try require(counts.ending == owed, "\(counts.ending) sessions have ended, \(owed) are to be reported")
    try require(live + owed + freed + counts.retired == Int(used), "a slot of a session is lost")
  }
}
#endif
