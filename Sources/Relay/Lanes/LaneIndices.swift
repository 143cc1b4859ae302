/// The two positions of a one-way lane between two threads, and how a producer asks to be woken.
///
/// Invariant: `head <= tail <= head + capacity`. Only the producer writes `tail`, and only the consumer writes `head`.
/// What is between the two was written before `tail` was published, and is read before `head` is. Each position has
/// cache lines of its own.
struct LaneIndices: Sendable {
  private let headWord: SharedWord
  private let tailWord: SharedWord
  /// Raised while the producer has no room and wants to be woken when there is some.
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

  /// The producer has no room. It must check `head` once more after this, because the consumer may have looked at the
  /// flag before it was raised.
  func announceProducerWaits() { producerWaits.raise() }

  @inline(__always)
  var producerIsWaiting: Bool { producerWaits.isRaised }

  /// Whether the producer was waiting for the room that the consumer has just made. True once for each wait.
  @inline(__always)
  func takeProducerWaits() -> Bool { producerWaits.takeDown() }
}
