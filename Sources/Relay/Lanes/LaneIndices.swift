/// The two positions of a one-way lane between two threads, and how a producer asks to be woken.
///
/// Invariant: `head <= tail <= head + capacity`. The producer alone writes `tail`, the consumer alone `head`; what lies
/// between was written before `tail` was published and is read before `head` is. Each is on cache lines of its own.
struct LaneIndices: Sendable {
  private let headWord: SharedWord
  private let tailWord: SharedWord
  /// Up while a producer has no room and wants to be told of some.
  private let producerWaits: SharedWord

  init(_ arena: Arena) {
    headWord = SharedWord(arena)
    tailWord = SharedWord(arena)
    producerWaits = SharedWord(arena)
  }

  @inline(__always) var head: UInt64 {
    get { headWord.published }
    nonmutating set { headWord.published = newValue }
  }

  @inline(__always) var tail: UInt64 {
    get { tailWord.published }
    nonmutating set { tailWord.published = newValue }
  }

  /// The producer has no room: it must look at `head` once more after this, because the consumer may have looked
  /// before.
  func announceProducerWaits() { producerWaits.raise() }

  @inline(__always)
  var producerIsWaiting: Bool { producerWaits.isRaised }

  /// Whether a producer waited for the room that the consumer just made. True once for each wait.
  @inline(__always)
  func takeProducerWaits() -> Bool { producerWaits.takeDown() }
}
