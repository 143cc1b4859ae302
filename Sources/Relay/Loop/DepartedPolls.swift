import Glibc

/// The polls of a shard that has gone to another host, which are still in the kernel of the old one.
///
/// Invariant: `0 <= next <= count <= capacity`; `polls` has room for `capacity` of them, or is nil where that is none.
struct DepartedPolls: ~Copyable {
  private struct Poll: BitwiseCopyable {
    let token: Token
    /// Closed by now, perhaps, and another's.
    let socket: Int32
  }

  private var polls: UnsafeMutablePointer<Poll>?
  private var capacity = 0
  private var count = 0
  private var next = 0

  init() {}

  deinit { free(polls) }

  var isEmpty: Bool { next == count }

  /// Makes room for `capacity` polls in an empty list. False if there is no memory.
  mutating func reserve(_ capacity: Int) -> Bool {
    // The host lets only one shard go at a time.
    precondition(isEmpty)
    forget()
    guard capacity > 0 else { return true }
    guard let memory = malloc(capacity * MemoryLayout<Poll>.stride) else { return false }
    polls = memory.bindMemory(to: Poll.self, capacity: capacity)
    self.capacity = capacity
    return true
  }

  mutating func append(_ token: Token, of socket: Int32) {
    // The caller has reserved as many as there can be.
    precondition(count < capacity)
    // There is room, so there is memory.
    polls.unsafelyUnwrapped[count] = Poll(token: token, socket: socket)
    count += 1
  }

  /// Cancels some of them, few enough for a turn.
  @inline(never)
  mutating func cancelSome<K: Kernel & ~Copyable>(_ kernel: inout K) {
    let end = min(count, next + Limits.pollsMovedPerTurn)
    while next < end {
      // There are polls, so there is memory.
      let poll = polls.unsafelyUnwrapped[next]
      kernel.submit(.cancel(poll.token, of: poll.socket), Token(.none))
      next += 1
    }
    if isEmpty { forget() }
  }

  private mutating func forget() {
    free(polls)
    polls = nil
    (capacity, count, next) = (0, 0, 0)
  }
}
