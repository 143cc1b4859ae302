/// A shard's stale sessions: which goes next, by age or when the table is full.
///
/// All have the same time to live, so the list by age is also the list by deadline: nothing is scanned. For eviction
/// each address prefix has its own list by age, and prefixes stand in lists by how many they hold.
///
/// Invariant: every stale session is in the list of all; in the list of its prefix if the backend has heard of it, else
/// in the list of the unheard; `busiest` is the highest count that a prefix has.
struct StaleSessions {
  private struct List {
    var first: UInt32 = .none
    var last: UInt32 = .none
  }

  private struct Prefix {
    var key: UInt64
    var sessions = List()
    var count: UInt32 = 0
    /// Neighbours among the prefixes that hold as many.
    var next: UInt32 = .none
    var previous: UInt32 = .none
  }

  private var all = List()
  private var unheard = List()
  private(set) var count = 0
  private(set) var unheardCount = 0

  private var prefixes: [Prefix] = []
  private var freePrefixes: [UInt32] = []
  private var prefixOf: [UInt64: UInt32] = [:]
  /// The first prefix that holds n sessions, by n. As long as one prefix holds sessions, hence the small numbers.
  private var firstWith: [UInt32] = [.none]
  private var busiest = 0

  /// The session that went stale first.
  var oldest: UInt32? { all.first == .none ? nil : all.first }

  /// The session that goes when the table is full: one that the backend never heard of, else the oldest of the prefix
  /// that holds most.
  var nextToEvict: UInt32? {
    if unheard.first != .none { return unheard.first }
    let prefix = firstWith[busiest]
    return prefix == .none ? nil : prefixes[Int(prefix)].sessions.first
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
    let index = prefixIndex(session.pointee.address.prefix)
    StaleSessions.append(slot, &prefixes[index].sessions, sessions)
    recount(index, by: 1)
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
    let index = Int(prefixOf[session.pointee.address.prefix]!)
    StaleSessions.unlink(slot, &prefixes[index].sessions, sessions)
    recount(index, by: -1)
  }

  /// The backend has just been told of a session that it had not heard of.
  mutating func nowHeardOf(_ slot: UInt32, _ sessions: borrowing SessionTable) {
    guard !sessions[slot].pointee.isHeardOf else { return }
    unheardCount -= 1
    StaleSessions.unlink(slot, &unheard, sessions)
    sessions[slot].pointee.isHeardOf = true
    let index = prefixIndex(sessions[slot].pointee.address.prefix)
    StaleSessions.append(slot, &prefixes[index].sessions, sessions)
    recount(index, by: 1)
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

  private mutating func prefixIndex(_ key: UInt64) -> Int {
    if let index = prefixOf[key] { return Int(index) }
    let index = freePrefixes.popLast() ?? UInt32(prefixes.count)
    if index == prefixes.count { prefixes.append(Prefix(key: key)) } else { prefixes[Int(index)] = Prefix(key: key) }
    prefixOf[key] = index
    return Int(index)
  }

  /// Moves a prefix between the lists by count.
  private mutating func recount(_ index: Int, by change: Int) {
    let old = Int(prefixes[index].count)
    let new = old + change
    if old > 0 {
      let (next, previous) = (prefixes[index].next, prefixes[index].previous)
      if previous == .none { firstWith[old] = next } else { prefixes[Int(previous)].next = next }
      if next != .none { prefixes[Int(next)].previous = previous }
    }
    prefixes[index].count = UInt32(new)
    guard new > 0 else {
      prefixOf[prefixes[index].key] = nil
      freePrefixes.append(UInt32(index))
      if busiest == old, firstWith[old] == .none { busiest = old - 1 }
      return
    }
    if new == firstWith.count { firstWith.append(.none) }
    let first = firstWith[new]
    prefixes[index].previous = .none
    prefixes[index].next = first
    if first != .none { prefixes[Int(first)].previous = UInt32(index) }
    firstWith[new] = UInt32(index)
    if new > busiest { busiest = new } else if busiest == old, firstWith[old] == .none { busiest = new }
  }
}
