import Relay
import Synchronization

/// What other threads ask of the control thread, which alone may call the relay. Nobody waits: whoever asks is called
/// back, on the control thread.
final class AdminMailbox: Sendable {
  /// What is asked of the relay calls `finished` once it is answered, on the control thread.
  typealias Question = @Sendable (Relay, _ finished: @escaping () -> Void) -> Void

  private let state = Mutex(State())

  private struct State {
    var waiting: [Question] = []
    var wake: (@Sendable () -> Void)?
  }

  init() {}

  /// From now on questions are taken; `wake` makes the control thread look for them.
  func open(wake: @escaping @Sendable () -> Void) { state.withLock { $0.wake = wake } }

  /// No question is taken any more.
  func close() { state.withLock { $0 = State() } }

  /// Has `question` asked on the control thread. False if nobody will.
  func put(_ question: @escaping Question) -> Bool {
    let wake = state.withLock { state in
      if state.wake != nil { state.waiting.append(question) }
      return state.wake
    }
    wake?()
    return wake != nil
  }

  /// What is waiting. Called by the control thread whenever it is awake.
  func take() -> [Question] {
    state.withLock { state in
      defer { state.waiting = [] }
      return state.waiting
    }
  }
}
