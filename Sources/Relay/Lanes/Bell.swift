/// How other threads wake a host. It announces that it goes to sleep, then looks at its lanes once more; who puts
/// something into a lane afterwards sees the announcement, takes it back and rings, so that one bell rings a sleep.
struct Bell: Sendable {
  private let sleeps: SharedWord
  private let descriptor: SharedWord

  init(_ arena: Arena) {
    sleeps = SharedWord(arena)
    descriptor = SharedWord(arena)
  }

  /// The descriptor of the host's ring.
  var ringDescriptor: Int32 {
    get { Int32(truncatingIfNeeded: descriptor.published) }
    nonmutating set { descriptor.published = UInt64(newValue) }
  }

  /// The host is about to sleep; it must look at its lanes once more after this.
  @inline(__always)
  func announceSleep() { sleeps.raise() }

  @inline(__always)
  func announceAwake() { sleeps.relaxed = 0 }

  /// Whether the host sleeps and the caller is the one to wake it.
  @inline(__always)
  func takeSleep() -> Bool { sleeps.takeDown() }
}
