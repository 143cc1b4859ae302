/// A slot that holds memory of which the largest holder must be found.
protocol MemoryHolder {
  var holderLinks: HolderLinks { get set }
  /// Bytes that it holds.
  var heldBytes: Int { get }
  /// Bytes of those that are in use: of two that hold as much, the fuller is larger.
  var usedBytes: Int { get }
}

struct HolderLinks: BitwiseCopyable {
  var next: UInt32 = .none
  var previous: UInt32 = .none
  /// The list that the slot is in, a power of two of bytes; -1 where it holds nothing.
  var sizeClass: Int8 = -1
}

/// Who holds how much, to within a factor of two: a list for each power of two of bytes, through the slots themselves.
/// Tells the largest holder without a search through all.
struct LargestHolders<Slot: MemoryHolder> {
  private var heads = InlineArray<40, UInt32>(repeating: .none)
  private var occupied: UInt64 = 0

  /// The size of the largest, to within a factor of two; 0 where there is none.
  var largestClass: Int { occupied == 0 ? 0 : 1 << (63 - occupied.leadingZeroBitCount) }

  /// What the slot holds has changed.
  mutating func update(_ index: UInt32, _ slots: borrowing SlotMemory<Slot>) {
    let held = slots[index].pointee.heldBytes
    let sizeClass: Int8 = held == 0 ? -1 : Int8(63 - UInt64(held).leadingZeroBitCount)
    let current = slots[index].pointee.holderLinks.sizeClass
    guard sizeClass != current else { return }
    if current >= 0 { unlink(index, slots) }
    if sizeClass >= 0 { link(index, Int(sizeClass), slots) }
  }

  /// The slot leaves, whatever it holds.
  mutating func remove(_ index: UInt32, _ slots: borrowing SlotMemory<Slot>) {
    if slots[index].pointee.holderLinks.sizeClass >= 0 { unlink(index, slots) }
  }

  private mutating func link(_ index: UInt32, _ sizeClass: Int, _ slots: borrowing SlotMemory<Slot>) {
    let first = heads[sizeClass]
    slots[index].pointee.holderLinks = HolderLinks(next: first, previous: .none, sizeClass: Int8(sizeClass))
    if first != .none { slots[first].pointee.holderLinks.previous = index }
    heads[sizeClass] = index
    occupied |= 1 << UInt64(sizeClass)
  }

  private mutating func unlink(_ index: UInt32, _ slots: borrowing SlotMemory<Slot>) {
    let links = slots[index].pointee.holderLinks
    if links.previous == .none {
      heads[Int(links.sizeClass)] = links.next
      if links.next == .none { occupied &= ~(1 << UInt64(links.sizeClass)) }
    } else {
      slots[links.previous].pointee.holderLinks.next = links.next
    }
    if links.next != .none { slots[links.next].pointee.holderLinks.previous = links.previous }
    slots[index].pointee.holderLinks = HolderLinks()
  }

  /// The one that holds most of those in the list of the largest. Looks at a bounded number of them, so that many equal
  /// ones cost no more than a few.
  func largest(_ slots: borrowing SlotMemory<Slot>) -> UInt32? {
    guard occupied != 0 else { return nil }
    var index = heads[63 - occupied.leadingZeroBitCount]
    var largest = index
    for _ in 0..<256 {
      index = slots[index].pointee.holderLinks.next
      guard index != .none else { break }
      let (one, other) = (slots[index], slots[largest])
      if (one.pointee.heldBytes, one.pointee.usedBytes) > (other.pointee.heldBytes, other.pointee.usedBytes) {
        largest = index
      }
    }
    return largest
  }
}
