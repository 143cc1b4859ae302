/// How other threads wake a host. The host announces that it is going to sleep, then looks at its lanes once more.
/// Any thread that puts something into a lane after that sees the announcement, clears it and rings, so each sleep gets
/// one ring.
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

  /// Whether the host is asleep and it is up to the caller to wake it.
  @inline(__always)
  func takeSleep() -> Bool { sleeps.takeDown() }
}
