import Glibc

/// The polls of a shard that has gone to another host, which are still in the ring of the old one.
///
/// Invariant: `0 <= next <= count <= capacity`; `tokens` has room for `capacity` of them, or is nil where that is none.
struct DepartedPolls: ~Copyable {
  private var tokens: UnsafeMutablePointer<Token>?
  private var capacity = 0
  private var count = 0
  private var next = 0

  init() {}

  deinit { free(tokens) }

  var isEmpty: Bool { next == count }

  /// Makes room for `capacity` tokens in an empty list. False if there is no memory.
  mutating func reserve(_ capacity: Int) -> Bool {
    // The host lets only one shard go at a time.
    precondition(isEmpty)
    forget()
    guard capacity > 0 else { return true }
    guard let memory = malloc(capacity * MemoryLayout<Token>.stride) else { return false }
    tokens = memory.bindMemory(to: Token.self, capacity: capacity)
    self.capacity = capacity
    return true
  }

  mutating func append(_ token: Token) {
    // The caller has reserved as many as there can be.
    precondition(count < capacity)
    // There is room, so there is memory.
    tokens.unsafelyUnwrapped[count] = token
    count += 1
  }

  /// Cancels some of them, few enough for a turn.
  @inline(never)
  mutating func cancelSome<K: Kernel & ~Copyable>(_ kernel: inout K) {
    let end = min(count, next + Limits.pollsMovedPerTurn)
    while next < end {
      // There are tokens, so there is memory.
      kernel.submit(.cancel(tokens.unsafelyUnwrapped[next]), Token(.none))
      next += 1
    }
    if isEmpty { forget() }
  }

  private mutating func forget() {
    free(tokens)
    tokens = nil
    (capacity, count, next) = (0, 0, 0)
  }
}
