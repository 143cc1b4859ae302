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
    return prefixes.fullest.map { prefixes[$0].pointee.sessions.first }
  }

  mutating func add(_ slot: UInt32, _ sessions: borrowing SessionTable) {
    count += 1
    let session = sessions[slot]
    session.pointee.staleNext = .none
    session.pointee.stalePrevious = all.last
    if all.last == .none { all.first = slot } else { sessions[all.last].pointee.staleNext = slot }
    all.last = slot
    guard session.pointee.isHeardOf else {
      unheardCount += 1
      return StaleSessions.append(slot, &unheard, sessions)
    }
    addToPrefix(slot, sessions)
  }

  /// Takes a session out: it comes back, or ends.
  mutating func remove(_ slot: UInt32, _ sessions: borrowing SessionTable) {
    count -= 1
    let session = sessions[slot]
    let (next, previous) = (session.pointee.staleNext, session.pointee.stalePrevious)
    if previous == .none { all.first = next } else { sessions[previous].pointee.staleNext = next }
    if next == .none { all.last = previous } else { sessions[next].pointee.stalePrevious = previous }
    guard session.pointee.isHeardOf else {
      unheardCount -= 1
      return StaleSessions.unlink(slot, &unheard, sessions)
    }
    // It is there as long as it has sessions.
    guard let prefix = prefixes.find(session.pointee.address.prefix) else { return }
    StaleSessions.unlink(slot, &prefixes[prefix].pointee.sessions, sessions)
    prefixes.countDown(prefix)
  }

  /// The backend has just been told of a session that it had not heard of.
  mutating func nowHeardOf(_ slot: UInt32, _ sessions: borrowing SessionTable) {
    guard !sessions[slot].pointee.isHeardOf else { return }
    unheardCount -= 1
    StaleSessions.unlink(slot, &unheard, sessions)
    sessions[slot].pointee.isHeardOf = true
    addToPrefix(slot, sessions)
  }

  private mutating func addToPrefix(_ slot: UInt32, _ sessions: borrowing SessionTable) {
    let prefix = prefixes.findOrAdd(sessions[slot].pointee.address.prefix)
    StaleSessions.append(slot, &prefixes[prefix].pointee.sessions, sessions)
    prefixes.countUp(prefix)
  }

  private static func append(_ slot: UInt32, _ list: inout List, _ sessions: borrowing SessionTable) {
    sessions[slot].pointee.next = .none
    sessions[slot].pointee.previous = list.last
    if list.last == .none { list.first = slot } else { sessions[list.last].pointee.next = slot }
    list.last = slot
  }

  private static func unlink(_ slot: UInt32, _ list: inout List, _ sessions: borrowing SessionTable) {
    let (next, previous) = (sessions[slot].pointee.next, sessions[slot].pointee.previous)
    if previous == .none { list.first = next } else { sessions[previous].pointee.next = next }
    if next == .none { list.last = previous } else { sessions[next].pointee.previous = previous }
  }
}
