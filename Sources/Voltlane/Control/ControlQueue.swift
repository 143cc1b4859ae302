import Synchronization
import VoltlaneService

/// What other threads ask of the control loop, in order. Each asks for little at a time, and bounds that itself.
final class ControlQueue: Sendable {
  typealias Work = @Sendable (inout ControlLoop) -> Void

  /// Becomes readable when there is something to do.
  let signal: Int32
  private let work = Mutex<[Work]>([])

  init() throws(StartError) { signal = try System.makeSignal() }

  deinit { System.close(signal) }

  /// To be done by the control loop, between two waits. It is dropped once the relay has ended.
  func post(_ work: @escaping Work) {
    self.work.withLock { $0.append(work) }
    System.give(signal)
  }

  func take() -> [Work] {
    System.clear(signal)
    return work.withLock { work in
      defer { work = [] }
      return work
    }
  }
}
