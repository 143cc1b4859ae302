/// What one thread of a model does, step by step.
///
/// Registers are the thread's own. What has no effect on others, arithmetic and jumps, belongs to the step before it:
/// threads are interleaved where they touch words, fence, ring or wait.
struct ThreadProgram {
  typealias Registers = SIMD16<Int16>
  typealias Value = @Sendable (Registers) -> Int16
  typealias Condition = @Sendable (Registers) -> Bool

  enum Instruction {
    case load(into: Int, word: Int, WeakMemory.Order)
    case store(word: Int, Value, WeakMemory.Order)
    case exchange(into: Int, word: Int, Int16, WeakMemory.Order)
    case add(Int16, word: Int, WeakMemory.Order)
    case fence
    /// Reads and writes plain memory.
    case read(into: Int, place: Value)
    case write(place: Value, Value)
    /// Calls the kernel, so that another thread's sleep ends; sleeps until it is called.
    case ring(bell: Int)
    case wait(bell: Int)
    case run(@Sendable (inout Registers) -> Void)
    case jump(to: String, Condition)
    case label(String)
    case require(String, Condition)
    case end
  }

  let name: String
  private(set) var instructions: [Instruction] = []
  private var labels: [String: Int] = [:]
  private var labelCount = 0

  init(_ name: String) { self.name = name }

  mutating func add(_ instruction: Instruction) {
    if case .label(let name) = instruction { labels[name] = instructions.count }
    instructions.append(instruction)
  }

  mutating func label(_ name: String) { add(.label(name)) }
  mutating func jump(_ name: String, if condition: @escaping Condition = { _ in true }) {
    add(.jump(to: name, condition))
  }
  mutating func run(_ body: @escaping @Sendable (inout Registers) -> Void) { add(.run(body)) }

  /// A label that no other is called.
  mutating func newLabel() -> String {
    labelCount += 1
    return "label \(labelCount)"
  }

  func target(_ label: String) -> Int {
    guard let target = labels[label] else { preconditionFailure("there is no \(label)") }
    return target
  }
}
