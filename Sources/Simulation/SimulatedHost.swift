#if TESTABLE
@testable import Relay

/// A host behind a reference, because arrays cannot hold noncopyable values.
final class SimulatedHost {
  private var host: Host<SimulatedKernel>
  private(set) var isDone = false

  init(_ host: consuming Host<SimulatedKernel>) { self.host = host }

  func start() { host.start() }
  func wake() { host.kernel.wake() }
  func turn() { host.turn() }

  func sleep() {
    if host.isDone() { isDone = true }
    host.sleep()
  }

  /// What does not hold of the data structures of its shards; nil where all does.
  func violation() -> String? {
    do {
      try host.checkInvariants()
      return nil
    } catch {
      return "\(error)"
    }
  }
}
#endif
