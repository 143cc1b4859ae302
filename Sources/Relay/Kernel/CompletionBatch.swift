/// The completions that one wait or poll has brought, filled in one sweep before any of them is handled.
///
/// Invariant: `taken <= count <= capacity`. Who fills it knows that there is room.
struct CompletionBatch: ~Copyable {
  private let memory: UnsafeMutablePointer<Completion>
  private(set) var count = 0
  private var taken = 0

  init(capacity: Int) { memory = .allocate(capacity: capacity) }

  deinit { memory.deallocate() }

  @inline(__always)
  mutating func removeAll() {
    count = 0
    taken = 0
  }

  @inline(__always)
  mutating func append(_ completion: Completion) {
    memory[count] = completion
    count &+= 1
  }

  /// The next one to be handled; nil if all have been.
  @inline(__always)
  mutating func next() -> Completion? {
    guard taken < count else { return nil }
    taken &+= 1
    return memory[taken &- 1]
  }
}
