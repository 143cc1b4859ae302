/// The address prefixes of a shard's stale sessions, found by their key, and by how many sessions they hold.
///
/// All of it is address space that was reserved at the start, because clients make it grow: nothing is allocated later.
/// The table from keys to prefixes is a linear hash table. It grows by one place at a time, and each time splits one
/// list in two, so it never stops to grow, and touches no more memory than it uses.
///
/// Invariant: `1 << level <= places < 2 << level`; a prefix is in the list of the place that its key has, and in the
/// list of those with its `count`; `busiest` is the highest count that a prefix has.
struct StalePrefixes: ~Copyable {
  /// A list of sessions.
  struct List {
    var first: UInt32 = .none
    var last: UInt32 = .none
  }

  struct Prefix {
    var key: UInt64
    var sessions = List()
    fileprivate(set) var count: UInt32 = 0
    /// The next with the same place, or the next free one.
    fileprivate var nextInPlace: UInt32 = .none
    /// Neighbours among the prefixes that hold as many.
    fileprivate var next: UInt32 = .none
    fileprivate var previous: UInt32 = .none
  }

  private var prefixes: SlotMemory<Prefix>
  private var used: UInt32 = 0
  private var free: UInt32 = .none

  /// The first prefix of each place.
  private var firstIn: SlotMemory<UInt32>
  private var places: UInt32 = 1
  private var level: UInt32 = 0
  private var inUse: UInt32 = 0

  /// The first prefix that holds n sessions, by n, as far as n has been reached.
  private var firstWith: SlotMemory<UInt32>
  private var reached: UInt32 = 0
  private var busiest: UInt32 = 0

  /// `capacity`: as many as there can be sessions.
  init(capacity: Int) throws(RelayError) {
    let prefixes = try SlotMemory<Prefix>(capacity: capacity)
    let firstIn = try SlotMemory<UInt32>(capacity: capacity + 1)
    let firstWith = try SlotMemory<UInt32>(capacity: capacity + 1)
    self.prefixes = prefixes
    self.firstIn = firstIn
    self.firstWith = firstWith
    self.firstIn[0] = .none
    self.firstWith[0] = .none
  }

  /// A prefix that holds as many sessions as any.
  var fullest: UInt32? {
    let prefix = firstWith[busiest]
    return prefix == .none ? nil : prefix
  }

  subscript(prefix: UInt32) -> Prefix {
    unsafeAddress { prefixes.address(prefix) }
    nonmutating unsafeMutableAddress { prefixes.mutableAddress(prefix) }
  }

  func find(_ key: UInt64) -> UInt32? {
    var prefix = firstIn[place(of: key)]
    while prefix != .none, prefixes[prefix].key != key { prefix = prefixes[prefix].nextInPlace }
    return prefix == .none ? nil : prefix
  }

  /// The prefix with this key, with no sessions where it is new: the caller adds one.
  mutating func findOrAdd(_ key: UInt64) -> UInt32 {
    if let prefix = find(key) { return prefix }
    let prefix: UInt32
    if free != .none {
      prefix = free
      free = prefixes[prefix].nextInPlace
    } else {
      prefix = used
      used += 1
    }
    inUse += 1
    if inUse > places { addPlace() }
    let place = place(of: key)
    prefixes[prefix] = Prefix(key: key, nextInPlace: firstIn[place])
    firstIn[place] = prefix
    return prefix
  }

  /// One session more. Moves the prefix between the lists by count.
  mutating func countUp(_ prefix: UInt32) {
    let old = prefixes[prefix].count
    if old > 0 { unlink(prefix) }
    prefixes[prefix].count = old + 1
    link(prefix)
    busiest = max(busiest, old + 1)
  }

  /// One session less; the prefix goes with its last.
  mutating func countDown(_ prefix: UInt32) {
    let old = prefixes[prefix].count
    unlink(prefix)
    prefixes[prefix].count = old - 1
    if old > 1 { link(prefix) } else { remove(prefix) }
    if busiest == old, firstWith[old] == .none { busiest = old - 1 }
  }

  // MARK: By count

  private mutating func link(_ prefix: UInt32) {
    let count = prefixes[prefix].count
    while reached < count {
      reached += 1
      firstWith[reached] = .none
    }
    let first = firstWith[count]
    prefixes[prefix].previous = .none
    prefixes[prefix].next = first
    if first != .none { prefixes[first].previous = prefix }
    firstWith[count] = prefix
  }

  private mutating func unlink(_ prefix: UInt32) {
    let (next, previous) = (prefixes[prefix].next, prefixes[prefix].previous)
    if previous == .none {
      firstWith[prefixes[prefix].count] = next
    } else {
      prefixes[previous].next = next
    }
    if next != .none { prefixes[next].previous = previous }
  }

  // MARK: By key

  private func place(of key: UInt64) -> UInt32 {
    let hash = UInt32(truncatingIfNeeded: (key &* 0x9e37_79b9_7f4a_7c15) >> 32)
    let place = hash & ((2 << level) - 1)
    return place < places ? place : hash & ((1 << level) - 1)
  }

  /// Parts the list of one place in two.
  private mutating func addPlace() {
    let parted = places - (1 << level)
    firstIn[places] = .none
    places += 1
    var prefix = firstIn[parted]
    firstIn[parted] = .none
    while prefix != .none {
      let next = prefixes[prefix].nextInPlace
      let place = place(of: prefixes[prefix].key)
      prefixes[prefix].nextInPlace = firstIn[place]
      firstIn[place] = prefix
      prefix = next
    }
    if places == 2 << level { level += 1 }
  }

  private mutating func remove(_ prefix: UInt32) {
    let place = place(of: prefixes[prefix].key)
    let next = prefixes[prefix].nextInPlace
    if firstIn[place] == prefix {
      firstIn[place] = next
    } else {
      var before = firstIn[place]
      while prefixes[before].nextInPlace != prefix { before = prefixes[before].nextInPlace }
      prefixes[before].nextInPlace = next
    }
    inUse -= 1
    prefixes[prefix].nextInPlace = free
    free = prefix
  }
}

#if DEBUG
extension StalePrefixes {
  func checkInvariants() throws(InvariantViolation) {
    try require(1 << level <= places && places < 2 << level, "there are \(places) places on level \(level)")
    var found: UInt32 = 0
    for place in 0..<places {
      var prefix = firstIn[place]
      while prefix != .none {
        let key = prefixes[prefix].key
        try require(self.place(of: key) == place, "prefix \(prefix) is in another's place")
        found += 1
        try require(found <= inUse, "more than \(inUse) prefixes are in the table")
        prefix = prefixes[prefix].nextInPlace
      }
    }
    try require(found == inUse, "\(found) prefixes are in the table, not \(inUse)")
    var (counted, highest) = (UInt32(0), UInt32(0))
    for count in 0...reached {
      var (prefix, before) = (firstWith[count], UInt32.none)
      while prefix != .none {
        try require(prefixes[prefix].count == count, "prefix \(prefix) is among those with \(count) sessions")
        try require(prefixes[prefix].previous == before, "prefix \(prefix) does not follow \(before)")
        counted += 1
        try require(counted <= inUse, "more than \(inUse) prefixes are listed by count")
        highest = count
        (before, prefix) = (prefix, prefixes[prefix].next)
      }
    }
    try require(counted == inUse, "\(counted) prefixes are listed by count, not \(inUse)")
    try require(highest == busiest, "the fullest prefix has \(highest) sessions, not \(busiest)")
  }
}
#endif
