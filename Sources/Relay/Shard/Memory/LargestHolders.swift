/// A kind of memory of which the largest holder must be found: how much of it a slot holds, and where the slot keeps
/// its place in the list.
protocol HeldMemory {
  associatedtype Slot: BitwiseCopyable
  static func links(of slot: Slot) -> HolderLinks
  static func setLinks(_ links: HolderLinks, of slot: inout Slot)
  /// Bytes that it holds.
  static func held(by slot: Slot) -> Int
  /// Bytes of those that are in use: of two that hold as much, the fuller is larger.
  static func used(by slot: Slot) -> Int
}

struct HolderLinks: BitwiseCopyable {
  var next: UInt32 = .none
  var previous: UInt32 = .none
  /// The list that the slot is in, a power of two of bytes; -1 where it holds nothing.
  var sizeClass: Int8 = -1
}

/// How much of one kind of memory each slot holds, to within a factor of two: a list for each power of two of bytes,
/// through the slots themselves. It finds the largest holder without searching them all.
struct LargestHolders<Memory: HeldMemory> {
  private var heads = InlineArray<40, UInt32>(repeating: .none)
  private var occupied: UInt64 = 0

  /// The size of the largest, to within a factor of two; 0 where there is none.
  var largestClass: Int { occupied == 0 ? 0 : 1 << (63 - occupied.leadingZeroBitCount) }

  /// What the slot holds has changed.
  mutating func update(_ index: UInt32, _ slots: borrowing SlotMemory<Memory.Slot>) {
    let held = Memory.held(by: slots[index])
    let sizeClass: Int8 = held == 0 ? -1 : Int8(63 - UInt64(held).leadingZeroBitCount)
    let current = Memory.links(of: slots[index]).sizeClass
    guard sizeClass != current else { return }
    if current >= 0 { unlink(index, slots) }
    if sizeClass >= 0 { link(index, Int(sizeClass), slots) }
  }

  /// The slot leaves, whatever it holds.
  mutating func remove(_ index: UInt32, _ slots: borrowing SlotMemory<Memory.Slot>) {
    if Memory.links(of: slots[index]).sizeClass >= 0 { unlink(index, slots) }
  }

  private mutating func link(_ index: UInt32, _ sizeClass: Int, _ slots: borrowing SlotMemory<Memory.Slot>) {
    let first = heads[sizeClass]
    Memory.setLinks(HolderLinks(next: first, previous: .none, sizeClass: Int8(sizeClass)), of: &slots[index])
    if first != .none { setPrevious(index, of: first, slots) }
    heads[sizeClass] = index
    occupied |= 1 << UInt64(sizeClass)
  }

  private mutating func unlink(_ index: UInt32, _ slots: borrowing SlotMemory<Memory.Slot>) {
    let links = Memory.links(of: slots[index])
    if links.previous == .none {
      heads[Int(links.sizeClass)] = links.next
      if links.next == .none { occupied &= ~(1 << UInt64(links.sizeClass)) }
    } else {
      var before = Memory.links(of: slots[links.previous])
      before.next = links.next
      Memory.setLinks(before, of: &slots[links.previous])
    }
    if links.next != .none { setPrevious(links.previous, of: links.next, slots) }
    Memory.setLinks(HolderLinks(), of: &slots[index])
  }

  private func setPrevious(_ previous: UInt32, of index: UInt32, _ slots: borrowing SlotMemory<Memory.Slot>) {
    var links = Memory.links(of: slots[index])
    links.previous = previous
    Memory.setLinks(links, of: &slots[index])
  }

  /// The one that holds most of those in the list of the largest. Looks at a bounded number of them, so that many equal
  /// ones cost no more than a few.
  func largest(_ slots: borrowing SlotMemory<Memory.Slot>) -> UInt32? {
    guard occupied != 0 else { return nil }
    var index = heads[63 - occupied.leadingZeroBitCount]
    var largest = index
    for _ in 0..<256 {
      index = Memory.links(of: slots[index]).next
      guard index != .none else { break }
      let (one, other) = (slots[index], slots[largest])
      let held = (Memory.held(by: one), Memory.held(by: other))
      if held.0 > held.1 || (held.0 == held.1 && Memory.used(by: one) > Memory.used(by: other)) { largest = index }
    }
    return largest
  }
}

#if DEBUG
extension LargestHolders {
  /// `used`: the slots that were ever used.
  func checkInvariants(_ slots: borrowing SlotMemory<Memory.Slot>, used: UInt32) throws(InvariantViolation) {
    var holders = 0
    for index in 0..<used {
      let held = Memory.held(by: slots[index])
      let sizeClass: Int8 = held == 0 ? -1 : Int8(63 - UInt64(held).leadingZeroBitCount)
      let listed = Memory.links(of: slots[index]).sizeClass
      try require(listed == sizeClass, "\(Memory.self): slot \(index) holds \(held) bytes, and is in list \(listed)")
      if held > 0 { holders += 1 }
    }
    var found = 0
    for sizeClass in 0..<40 {
      var (index, before) = (heads[sizeClass], UInt32.none)
      try require((occupied >> sizeClass & 1 == 1) == (index != .none), "the bit of list \(sizeClass) is wrong")
      while index != .none {
        let links = Memory.links(of: slots[index])
        try require(Int(links.sizeClass) == sizeClass, "slot \(index) is in list \(sizeClass)")
        try require(links.previous == before, "slot \(index) does not follow \(before)")
        found += 1
        try require(found <= holders, "\(Memory.self): more than the \(holders) holders are listed")
        (before, index) = (index, links.next)
      }
    }
    try require(found == holders, "\(Memory.self): \(found) are listed, \(holders) hold some")
  }
}
#endif
