import Glibc
import Synchronization

// SEAM: stands in for the relay while it is being written elsewhere, so that the program around it can be built and
// tested. It neither listens nor dials.

/// A relay that only starts and stops.
public final class Relay: Sendable {
  private let stopped = Atomic<Bool>(false)
  public let configuration: RelayConfiguration

  public init(configuration: RelayConfiguration) throws {
    self.configuration = configuration
  }

  /// Starts the threads. Returns when clients can connect.
  public func start() throws {}

  /// Stops accepting and hands over what is queued. Any thread may call it; a second call does nothing.
  public func drain() { stopped.store(true, ordering: .releasing) }

  /// Returns when every thread has ended.
  public func waitUntilStopped() {
    while !stopped.load(ordering: .acquiring) { usleep(10_000) }
  }
}
