/// How other threads wake a host. The host announces that it is going to sleep, then looks at its lanes once more.
/// Any thread that puts something into a lane after that sees the announcement, clears it and rings, so each sleep gets
/// one ring.
struct Bell: Sendable {
  private let sleeps: SharedWord
  private let descriptor: SharedWord

  fileprivate init(sleeps: SharedWord, descriptor: SharedWord) {
    self.sleeps = sleeps
    self.descriptor = descriptor
  }

  /// What rings it: the descriptor of the host's ring, or of an eventfd.
  var ringDescriptor: Int32 {
    get { Int32(truncatingIfNeeded: descriptor.published) }
    nonmutating set { descriptor.published = UInt64(newValue) }
  }

  /// The host is about to sleep; it must look at its lanes once more after this.
  @inline(__always)
  func announceSleep() { sleeps.raise() }

  @inline(__always)
  func announceAwake() { sleeps.relaxed = 0 }

  /// Whether the host is asleep and it is up to the caller to wake it, who has fenced after what the host is to find.
  @inline(__always)
  func takeSleep() -> Bool { sleeps.takeDownAfterFence() }
}

/// The bells of all hosts.
struct HostBells: Sendable {
  private let words: CounterWords
  /// Words between two that different threads write: 128 bytes.
  private static let stride = 16

  init(_ arena: Arena, hosts: Int) { words = CounterWords(arena, count: 2 * hosts * HostBells.stride) }

  @inline(__always)
  subscript(host: Int) -> Bell {
    let first = 2 &* host &* HostBells.stride
    return Bell(sleeps: words[first], descriptor: words[first &+ HostBells.stride])
  }
}

/// How other threads wake whichever host a role is at.
///
///     who rings                         the role's new host
///     1. puts something into a lane     1. says that the role is here
///     2. fence                          2. fence, in announcing its sleep
///     3. looks where the role is        3. looks at the lane
///
/// So a ring that goes to the old host is no loss: the new one had not looked at the lanes by then, and will.
struct RoleBell: Sendable {
  private let bells: HostBells
  private let place: SharedWord

  init(_ arena: Arena, _ bells: HostBells, host: Int) {
    self.bells = bells
    place = SharedWord(arena)
    place.published = UInt64(truncatingIfNeeded: host)
  }

  /// The role is at this host from now on, which looks at the role's lanes after this.
  func moves(to host: Int) { place.published = UInt64(truncatingIfNeeded: host) }

  /// Wakes the role's host if it is asleep. Called after something was put into one of the role's lanes.
  @inline(__always)
  func wake<K: Kernel & ~Copyable>(_ kernel: inout K) {
    SharedWord.fence()
    let bell = bells[Int(truncatingIfNeeded: place.relaxed)]
    if bell.takeSleep() { kernel.ring(bell) }
  }
}
