/// Completions that wait to be taken, the oldest first, in address space that costs memory only as it is used.
///
/// Invariant: `0 <= count <= capacity`, and `first < capacity`.
struct CompletionQueue: ~Copyable {
  private let memory: SlotMemory<Completion>
  private var first: UInt32 = 0
  private(set) var count: UInt32 = 0

  init(capacity: Int) throws(RelayError) { memory = try SlotMemory(capacity: capacity) }

  @inline(__always) var isEmpty: Bool { count == 0 }

  mutating func append(_ completion: Completion) {
    // Who makes the queue gives it room for all that there can be.
    guard count < memory.capacity else { return }
    memory[place(count)] = completion
    count &+= 1
  }

  @inline(__always)
  mutating func popFirst() -> Completion? { isEmpty ? nil : pop() }

  @inline(never)
  private mutating func pop() -> Completion {
    let completion = memory[first]
    count &-= 1
    // Empty, it begins again at the front, so that memory in use stays small.
    first = count == 0 ? 0 : place(1)
    return completion
  }

  private func place(_ step: UInt32) -> UInt32 {
    let place = first &+ step
    return place < memory.capacity ? place : place &- memory.capacity
  }
}
