import Synchronization

/// What a library has given out and the runner has not asked for yet.
final class Waiting: Sendable {
  private let answers = Mutex<[String]>([])

  func append(_ answer: String) {
    answers.withLock { $0.append(answer) }
  }

  /// The next one; nil where none came in this many milliseconds. The last of a stream, its end, stays.
  func next(within milliseconds: Int) async -> String? {
    let deadline = ContinuousClock.now + .milliseconds(milliseconds)
    while true {
      let answer = answers.withLock { answers -> String? in
        guard let first = answers.first else { return nil }
        if !first.hasPrefix("closed") && !first.hasPrefix("error") { answers.removeFirst() }
        return first
      }
      if answer != nil || ContinuousClock.now >= deadline { return answer }
      try? await Task.sleep(for: .milliseconds(1))
    }
  }
}
