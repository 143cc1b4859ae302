import Glibc
import Synchronization

/// Runs a body on a thread of its own, for one side of an exchange in which both must go on.
final class Background: Sendable {
  private struct Outcome {
    var isDone = false
    var error: (any Error)?
  }

  private let outcome: Shared

  /// Apart from `Background`, so that the thread holds no reference to what joins it.
  private final class Shared: Sendable {
    let state = Mutex(Outcome())
  }

  init(_ body: @escaping () throws -> Void) {
    let shared = Shared()
    outcome = shared
    let body = Box(body)
    Thread.start {
      var failure: (any Error)?
      do { try body.value() } catch { failure = error }
      let error = failure
      shared.state.withLock {
        $0.error = error
        $0.isDone = true
      }
    }
  }

  var isDone: Bool { outcome.state.withLock { $0.isDone } }

  /// Waits for the end of the body; throws what it threw.
  func join() throws {
    for _ in 0..<(3 * patience) {
      if let error = outcome.state.withLock({ $0.isDone ? .some($0.error) : nil }) {
        if let error { throw error }
        return
      }
      usleep(1000)
    }
    throw SocketFailure.timeout("the other thread")
  }
}
