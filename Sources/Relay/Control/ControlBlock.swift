import CLinux
import Glibc
import Synchronization

/// What the control thread and the hosts tell each other.
struct ControlBlock: @unchecked Sendable {
  /// Where the relay is in its life. Only grows.
  enum Phase: UInt64, Comparable {
    case running
    /// Accepting stops, everything queued is handed over.
    case draining
    /// Hosts leave their loop at once.
    case stopping
    static func < (a: Phase, b: Phase) -> Bool { a.rawValue < b.rawValue }
  }

  /// offset 0: phase; 128: shards that have nothing more for the backend; 256: hosts that have left their loop
  private let base: UnsafeMutableRawPointer
  /// An eventfd on which hosts wake the control thread.
  let signal: Int32

  init(_ arena: Arena, signal: Int32) {
    base = arena.allocate(byteCount: 384)
    self.signal = signal
  }

  var phase: Phase {
    @inline(__always) get { Phase(rawValue: atomic(0).pointee.load(ordering: .acquiring)) ?? .stopping }
    nonmutating set { atomic(0).pointee.store(newValue.rawValue, ordering: .releasing) }
  }

  /// Shards that will put nothing more into their uplink lanes.
  var shardsDrained: Int { Int(atomic(128).pointee.load(ordering: .acquiring)) }
  func addDrainedShard() { atomic(128).pointee.add(1, ordering: .acquiringAndReleasing) }

  /// Hosts that have left their loop.
  var hostsDone: Int { Int(atomic(256).pointee.load(ordering: .acquiring)) }
  func addDoneHost() {
    atomic(256).pointee.add(1, ordering: .acquiringAndReleasing)
    wake()
  }

  func wake() { voltlane_eventfd_signal(signal) }

  @inline(__always)
  private func atomic(_ offset: Int) -> UnsafeMutablePointer<Atomic<UInt64>> {
    (base + offset).assumingMemoryBound(to: Atomic<UInt64>.self)
  }
}
