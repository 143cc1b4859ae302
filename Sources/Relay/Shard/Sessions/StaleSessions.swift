/// A shard's stale sessions: which goes next, by age or when the table is full.
///
/// All have the same time to live, so the list by age is also the list by deadline: nothing is scanned. For eviction
/// each address prefix has its own list by age, and prefixes stand in lists by how many they hold.
///
/// Invariant: every stale session is in the list of all; in the list of its prefix if the backend has heard of it, else
/// in the list of the unheard.
struct StaleSessions: ~Copyable {
  private typealias List = StalePrefixes.List

  private var all = List()
  private var unheard = List()
  private(set) var count = 0
  private(set) var unheardCount = 0

  private var prefixes: StalePrefixes

  /// `capacity`: as many as there can be sessions.
  init(capacity: Int) throws(RelayError) { prefixes = try StalePrefixes(capacity: capacity) }

  /// The session that went stale first.
  var oldest: UInt32? { all.first == .none ? nil : all.first }

  /// The session that goes when the table is full: one that the backend never heard of, else the oldest of the prefix
  /// that holds most.
  var nextToEvict: UInt32? {
    if unheard.first != .none { return unheard.first }
    return prefixes.fullest.map { prefixes[$0].sessions.first }
  }

  mutating func add(_ slot: UInt32, _ sessions: borrowing SessionTable) {
    count += 1
    sessions[slot].staleNext = .none
    sessions[slot].stalePrevious = all.last
    if all.last == .none { all.first = slot } else { sessions[all.last].staleNext = slot }
    all.last = slot
    guard sessions[slot].isHeardOf else {
      unheardCount += 1
      return StaleSessions.append(slot, &unheard, sessions)
    }
    addToPrefix(slot, sessions)
  }

  /// Takes a session out: it comes back, or ends.
  mutating func remove(_ slot: UInt32, _ sessions: borrowing SessionTable) {
    count -= 1
    let (next, previous) = (sessions[slot].staleNext, sessions[slot].stalePrevious)
    if previous == .none { all.first = next } else { sessions[previous].staleNext = next }
    if next == .none { all.last = previous } else { sessions[next].stalePrevious = previous }
    guard sessions[slot].isHeardOf else {
      unheardCount -= 1
      return StaleSessions.unlink(slot, &unheard, sessions)
    }
    // It is there as long as it has sessions.
    guard let prefix = prefixes.find(sessions[slot].address.prefix) else { return }
    StaleSessions.unlink(slot, &prefixes[prefix].sessions, sessions)
    prefixes.countDown(prefix)
  }

  /// The backend has just been told of a session that it had not heard of.
  mutating func nowHeardOf(_ slot: UInt32, _ sessions: borrowing SessionTable) {
    guard !sessions[slot].isHeardOf else { return }
    unheardCount -= 1
    StaleSessions.unlink(slot, &unheard, sessions)
    sessions[slot].isHeardOf = true
    addToPrefix(slot, sessions)
  }

  private mutating func addToPrefix(_ slot: UInt32, _ sessions: borrowing SessionTable) {
    let prefix = prefixes.findOrAdd(sessions[slot].address.prefix)
    StaleSessions.append(slot, &prefixes[prefix].sessions, sessions)
    prefixes.countUp(prefix)
  }

  private static func append(_ slot: UInt32, _ list: inout List, _ sessions: borrowing SessionTable) {
    sessions[slot].next = .none
    sessions[slot].previous = list.last
    if list.last == .none { list.first = slot } else { sessions[list.last].next = slot }
    list.last = slot
  }

  private static func unlink(_ slot: UInt32, _ list: inout List, _ sessions: borrowing SessionTable) {
    let (next, previous) = (sessions[slot].next, sessions[slot].previous)
    if previous == .none { list.first = next } else { sessions[previous].next = next }
    if next == .none { list.last = previous } else { sessions[next].previous = previous }
  }
}

#if DEBUG
extension StaleSessions {
  func checkInvariants(_ sessions: borrowing SessionTable) throws(InvariantViolation) {
    var (slot, before, found, since) = (all.first, UInt32.none, 0, UInt64(0))
    while slot != .none {
      let session = sessions[slot]
      try require(session.state == .stale, "session \(slot) is listed as stale and is \(session.state)")
      try require(session.stalePrevious == before, "stale session \(slot) does not follow \(before)")
      try require(session.staleSince >= since, "stale session \(slot) is older than the one before")
      found += 1
      try require(found <= count, "more than \(count) sessions are stale")
      (before, since, slot) = (slot, session.staleSince, session.staleNext)
    }
    try require(found == count && all.last == before, "\(found) sessions are stale, not \(count)")
    let alone = try countList(unheard, sessions) { !$0.isHeardOf }
    try require(alone == unheardCount, "the backend has not heard of \(alone) stale sessions, not \(unheardCount)")
    try prefixes.checkInvariants()
    var inPrefixes = 0
    for slot in 0..<sessions.used where sessions[slot].state == .stale && sessions[slot].isHeardOf {
      inPrefixes += 1
      guard let prefix = prefixes.find(sessions[slot].address.prefix) else {
        throw InvariantViolation(description: "stale session \(slot) is in the list of no prefix")
      }
      // Once for each prefix, at its first session.
      guard prefixes[prefix].sessions.first == slot else { continue }
      let key = prefixes[prefix].key
      let members = try countList(prefixes[prefix].sessions, sessions) { $0.address.prefix == key }
      let counted = prefixes[prefix].count
      try require(members == Int(counted), "a prefix has \(members) stale sessions, not \(counted)")
    }
    try require(inPrefixes + unheardCount == count, "a stale session is in two lists, or in none")
  }

  private func countList(
    _ list: List, _ sessions: borrowing SessionTable, _ belongs: (Session) -> Bool
  ) throws(InvariantViolation) -> Int {
    var (slot, before, found) = (list.first, UInt32.none, 0)
    while slot != .none {
      try require(belongs(sessions[slot]), "stale session \(slot) is in another's list")
      try require(sessions[slot].previous == before, "stale session \(slot) does not follow \(before)")
      found += 1
      try require(found <= count, "a list of stale sessions has a loop")
      (before, slot) = (slot, sessions[slot].next)
    }
    try require(list.last == before, "a list of stale sessions ends at \(before), not at \(list.last)")
    return found
  }
}
#endif
