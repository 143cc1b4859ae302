/// Runs a few programs on a ``WeakMemory`` in every way that there is: every order of their steps, every message that a
/// load may take, every place that a store may get. States that have been met are not gone through again.
struct Explorer {
  struct Model {
    var words: Int
    var places: Int
    var programs: [ThreadProgram]
    var bells: Int
    /// Bells that are known to hand over what the caller knows, because the kernel locks what both sides look at.
    /// Of others nothing is assumed but that the sleep ends.
    var synchronisingBells: Set<Int> = []
  }

  enum Outcome: Equatable {
    case holds(states: Int)
    /// What went wrong, and the steps that led there.
    case fails(String, trace: [String])
    case tooLarge

    var failure: String? { if case .fails(let what, _) = self { what } else { nil } }
  }

  private struct State: Hashable {
    var memory: WeakMemory
    var counters: [Int]
    var registers: [ThreadProgram.Registers]
    var rings: [UInt8]
  }

  private struct Visit: Hashable {
    let high: Int
    let low: Int
  }

  private struct Failure: Error { let what: String }

  private let model: Model

  init(_ model: Model) { self.model = model }

  func explore(atMost limit: Int) -> Outcome {
    var first = State(
      memory: WeakMemory(
        words: model.words, places: model.places, threads: model.programs.count, bells: model.bells),
      counters: model.programs.map { _ in 0 }, registers: model.programs.map { _ in .zero },
      rings: Array(repeating: 0, count: model.bells))
    var trace: [String] = []
    do {
      for thread in model.programs.indices { try settle(&first, thread) }
      var visited: Set<Visit> = [visit(first)]
      var stack = [(steps: try steps(from: first), next: 0)]
      while let top = stack.last {
        guard top.next < top.steps.count else {
          stack.removeLast()
          _ = trace.popLast()
          continue
        }
        stack[stack.count - 1].next += 1
        let step = top.steps[top.next]
        trace.append(step.name)
        if let failure = step.failure { return .fails(failure, trace: trace) }
        guard visited.insert(visit(step.state)).inserted else {
          trace.removeLast()
          continue
        }
        guard visited.count < limit else { return .tooLarge }
        stack.append((try steps(from: step.state), 0))
      }
      return .holds(states: visited.count)
    } catch {
      return .fails(error.what, trace: trace)
    }
  }

  /// 128 bits, so that no two states that differ are taken for one.
  private func visit(_ state: State) -> Visit {
    var high = Hasher()
    high.combine(0)
    high.combine(state)
    var low = Hasher()
    low.combine(1)
    low.combine(state)
    return Visit(high: high.finalize(), low: low.finalize())
  }

  private struct Step {
    let name: String
    var state: State
    var failure: String?
  }

  /// All that can happen next. Throws where nothing can and threads still wait.
  private func steps(from state: State) throws(Failure) -> [Step] {
    var steps: [Step] = []
    var ended = 0
    for thread in model.programs.indices {
      if case .end = instruction(state, thread) { ended += 1 }
      addSteps(of: thread, from: state, &steps)
    }
    if steps.isEmpty, ended < model.programs.count {
      let sleepers = model.programs.indices.filter { if case .end = instruction(state, $0) { false } else { true } }
      throw Failure(what: "sleeps for ever: \(sleepers.map { model.programs[$0].name }.joined(separator: ", "))")
    }
    return steps
  }

  private func instruction(_ state: State, _ thread: Int) -> ThreadProgram.Instruction {
    model.programs[thread].instructions[state.counters[thread]]
  }

  private func addSteps(of thread: Int, from state: State, _ steps: inout [Step]) {
    let name = model.programs[thread].name
    func add(_ what: String, _ change: (inout State) -> Void) {
      var step = Step(name: "\(name): \(what)", state: state)
      change(&step.state)
      step.state.counters[thread] += 1
      do throws(Failure) { try settle(&step.state, thread) } catch { step.failure = error.what }
      step.state.memory.forget()
      steps.append(step)
    }
    switch instruction(state, thread) {
    case .load(let register, let word, let order):
      for message in state.memory.readable(word, thread) {
        let value = state.memory.words[word][message].value
        add("word \(word) = \(value)") {
          $0.registers[thread][register] = $0.memory.load(word, message, order, thread)
        }
      }
    case .store(let word, let value, let order):
      let value = value(state.registers[thread])
      for position in state.memory.storable(word, thread) {
        add("word \(word) := \(value)") { $0.memory.store(word, value, at: position, order, thread) }
      }
    case .exchange(let register, let word, let value, let order):
      for message in state.memory.exchangeable(word, thread) {
        add("exchange of word \(word), \(state.memory.words[word][message].value) for \(value)") {
          $0.registers[thread][register] = $0.memory.exchange(word, message, order, thread) { _ in value }
        }
      }
    case .add(let amount, let word, let order):
      for message in state.memory.exchangeable(word, thread) {
        add("word \(word) += \(amount)") {
          _ = $0.memory.exchange(word, message, order, thread) { $0 + amount }
        }
      }
    case .fence: add("fence") { $0.memory.fence(thread) }
    case .ring(let bell):
      add("rings \(bell)") {
        $0.rings[bell] = 1
        if model.synchronisingBells.contains(bell) { $0.memory.ring(bell, thread) }
      }
    case .wait(let bell):
      guard state.rings[bell] > 0 else { return }
      add("wakes") {
        $0.rings[bell] = 0
        if model.synchronisingBells.contains(bell) { $0.memory.wake(bell, thread) }
      }
    case .end, .read, .write, .run, .jump, .label, .require: break
    }
  }

  /// Goes on to the next instruction of the thread that others could see. Plain accesses are among those that go along:
  /// whether they are ordered against those of others does not depend on when they happen.
  private func settle(_ state: inout State, _ thread: Int) throws(Failure) {
    while true {
      let registers = state.registers[thread]
      switch instruction(state, thread) {
      case .load, .store, .exchange, .add, .fence, .ring, .wait, .end: return
      case .read(let register, let place):
        guard let value = state.memory.read(Int(place(registers)), thread) else {
          throw Failure(what: "\(model.programs[thread].name) reads what was not published to it")
        }
        state.registers[thread][register] = value
      case .write(let place, let value):
        guard state.memory.write(Int(place(registers)), value(registers), thread) else {
          throw Failure(what: "\(model.programs[thread].name) writes what another may still read")
        }
      case .run(let body): body(&state.registers[thread])
      case .require(let what, let condition):
        guard condition(registers) else { throw Failure(what: what) }
      case .jump(let label, let condition):
        if condition(registers) {
          state.counters[thread] = model.programs[thread].target(label)
          continue
        }
      case .label: break
      }
      state.counters[thread] += 1
    }
  }
}
