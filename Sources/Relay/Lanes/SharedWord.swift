import Synchronization

/// A 64-bit word that several threads read and write. Invariant: `word` points into an ``Arena``, which outlives every
/// thread that has the value.
struct SharedWord: @unchecked Sendable {
  private let word: UnsafeMutablePointer<Atomic<UInt64>>

  /// A word alone on its cache lines, zero at first: what two threads write never shares a line, or a pair of lines,
  /// which prefetchers fetch together.
  init(_ arena: Arena) {
    word = arena.allocate(byteCount: 128).assumingMemoryBound(to: Atomic<UInt64>.self)
  }

  fileprivate init(_ word: UnsafeMutablePointer<Atomic<UInt64>>) { self.word = word }

  /// A plain read, for what only this thread writes, or where the order does not matter.
  @inline(__always) var relaxed: UInt64 {
    get { word.pointee.load(ordering: .relaxed) }
    nonmutating set { word.pointee.store(newValue, ordering: .relaxed) }
  }

  /// A reader of this value also sees what the writer wrote before it.
  @inline(__always) var published: UInt64 {
    get { word.pointee.load(ordering: .acquiring) }
    nonmutating set { word.pointee.store(newValue, ordering: .releasing) }
  }

  /// Returns the sum.
  @discardableResult
  func add(_ value: Int) -> UInt64 {
    word.pointee.wrappingAdd(UInt64(bitPattern: Int64(value)), ordering: .acquiringAndReleasing).newValue
  }

  /// Replaces `old` by `new`. False, with nothing changed, if the word is not `old`.
  func replace(_ old: UInt64, by new: UInt64) -> Bool {
    word.pointee.compareExchange(expected: old, desired: new, ordering: .acquiringAndReleasing).exchanged
  }

  // MARK: Flags between two threads

  /// Whatever this thread wrote before is seen by any thread whose writes it reads after this.
  @inline(__always)
  static func fence() { atomicMemoryFence(ordering: .sequentiallyConsistent) }

  /// Raises the flag. After that, the caller checks once more what the other side may have done meanwhile.
  @inline(__always)
  func raise() {
    word.pointee.store(1, ordering: .relaxed)
    atomicMemoryFence(ordering: .sequentiallyConsistent)
  }

  /// Raises the flag after what the caller has written. True if it was down; only one caller gets that answer.
  @inline(__always)
  func raiseFirst() -> Bool {
    atomicMemoryFence(ordering: .sequentiallyConsistent)
    guard word.pointee.load(ordering: .relaxed) == 0 else { return false }
    return word.pointee.exchange(1, ordering: .acquiringAndReleasing) == 0
  }

  /// Whether the flag is up.
  @inline(__always) var isRaised: Bool { relaxed != 0 }

  /// Lowers the flag, after the caller has done what the other side is waiting for. True if it was up; only one caller
  /// gets that answer.
  @inline(__always)
  func takeDown() -> Bool {
    atomicMemoryFence(ordering: .sequentiallyConsistent)
    guard word.pointee.load(ordering: .relaxed) != 0 else { return false }
    return word.pointee.exchange(0, ordering: .acquiringAndReleasing) != 0
  }

  /// The same where the caller has fenced after what it has done.
  @inline(__always)
  func takeDownAfterFence() -> Bool {
    guard word.pointee.load(ordering: .relaxed) != 0 else { return false }
    return word.pointee.exchange(0, ordering: .acquiringAndReleasing) != 0
  }
}

/// Words side by side, for one thread that writes them.
struct CounterWords: @unchecked Sendable {
  private let base: UnsafeMutablePointer<Atomic<UInt64>>

  init(_ arena: Arena, count: Int) {
    base = arena.allocate(byteCount: 8 * count + 128).assumingMemoryBound(to: Atomic<UInt64>.self)
  }

  @inline(__always)
  subscript(index: Int) -> SharedWord { SharedWord(base + index) }
}
