import Glibc
import Synchronization

@testable import Relay

/// A thread that moves a relay's roles between its hosts for as long as the relay lives, one after the other: each to
/// some other host, as soon as the last one has arrived.
final class Mover: Sendable {
  private let isStopping = Atomic(false)
  private let hasEnded = Atomic(false)
  private let relay: Box<Relay>

  init(_ relay: Relay) {
    self.relay = Box(relay)
    Thread.start { [self] in
      move()
      hasEnded.store(true, ordering: .releasing)
    }
  }

  /// Returns when the thread has ended, which must be before the relay does.
  func stop() {
    isStopping.store(true, ordering: .relaxed)
    while !hasEnded.load(ordering: .acquiring) { usleep(1000) }
  }

  private func move() {
    let relay = relay.value
    let hosts = relay.hosting.count
    while !isStopping.load(ordering: .relaxed) {
      usleep(UInt32.random(in: 100...3000))
      guard relay.isSettled else { continue }
      relay.move(role: Int.random(in: 0...relay.configuration.shards), to: Int.random(in: 0..<hosts))
    }
  }
}
