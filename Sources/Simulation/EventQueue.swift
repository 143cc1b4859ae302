/// What happens later, by time; events of the same time in the order in which they were added.
struct EventQueue {
  private struct Entry {
    let time: UInt64
    let number: UInt64
    let body: () -> Void
    func isBefore(_ other: Entry) -> Bool { (time, number) < (other.time, other.number) }
  }

  private var heap: [Entry] = []
  private var added: UInt64 = 0

  var next: UInt64 { heap.first?.time ?? .max }

  mutating func add(_ time: UInt64, _ body: @escaping () -> Void) {
    added += 1
    heap.append(Entry(time: time, number: added, body: body))
    var child = heap.count - 1
    while child > 0 {
      let parent = (child - 1) / 2
      guard heap[child].isBefore(heap[parent]) else { break }
      heap.swapAt(child, parent)
      child = parent
    }
  }

  mutating func take(by time: UInt64) -> (() -> Void)? {
    guard let first = heap.first, first.time <= time else { return nil }
    let last = heap.removeLast()
    guard !heap.isEmpty else { return first.body }
    heap[0] = last
    var parent = 0
    while true {
      var child = 2 * parent + 1
      guard child < heap.count else { break }
      if child + 1 < heap.count, heap[child + 1].isBefore(heap[child]) { child += 1 }
      guard heap[child].isBefore(heap[parent]) else { break }
      heap.swapAt(child, parent)
      parent = child
    }
    return first.body
  }
}
