import CLinux

/// What the control thread and the hosts tell each other.
struct ControlBlock: Sendable {
  /// Which phase of its life the relay is in. It only moves forward.
  enum Phase: UInt64, Comparable {
    case running
    /// Accepting stops, and everything queued is handed over.
    case draining
    /// Hosts leave their loop at once.
    case stopping
    static func < (a: Phase, b: Phase) -> Bool { a.rawValue < b.rawValue }
  }

  private let phaseWord: SharedWord
  private let backendReadWord: SharedWord
  private let drainedShards: SharedWord
  private let doneRoles: SharedWord
  private let endedThreads: SharedWord
  private let exitWord: SharedWord
  private let closedWord: SharedWord
  private let ringRefusals: SharedWord
  private let ringError: SharedWord
  private let callWord: SharedWord
  /// An eventfd on which hosts wake the control thread.
  let signal: Int32

  init(_ arena: Arena, signal: Int32) {
    phaseWord = SharedWord(arena)
    backendReadWord = SharedWord(arena)
    drainedShards = SharedWord(arena)
    doneRoles = SharedWord(arena)
    endedThreads = SharedWord(arena)
    exitWord = SharedWord(arena)
    closedWord = SharedWord(arena)
    ringRefusals = SharedWord(arena)
    ringError = SharedWord(arena)
    callWord = SharedWord(arena)
    self.signal = signal
  }

  @inline(__always) var phase: Phase {
    get { Phase(rawValue: phaseWord.published) ?? .stopping }
    nonmutating set { phaseWord.published = newValue.rawValue }
  }

  /// Whether newcomers are accepted. Unlike the phase it goes either way, while the relay runs.
  var accepts: Bool {
    get { closedWord.published == 0 }
    nonmutating set { closedWord.published = newValue ? 0 : 1 }
  }

  /// While the relay drains: whether everything that the backend had sent by then is in the lanes. Sessions end after
  /// it.
  var backendIsRead: Bool {
    get { backendReadWord.published != 0 }
    nonmutating set { backendReadWord.published = newValue ? 1 : 0 }
  }

  /// Shards that will put nothing more into their uplink lanes.
  var shardsDrained: Int { Int(drainedShards.published) }
  func addDrainedShard() { drainedShards.add(1) }

  /// Roles that have nothing left to do.
  var rolesDone: Int { Int(truncatingIfNeeded: doneRoles.published) }
  func addDoneRole() {
    doneRoles.add(1)
    wake()
  }

  /// Threads that have nothing left to do but exit.
  var threadsEnded: Int { Int(endedThreads.published) }
  func addEndedThread() {
    endedThreads.add(1)
    wake()
  }

  /// The firehose asks the relay to end (`--backend-loss exit`).
  var exitRequested: Bool { exitWord.published != 0 }
  func requestExit() {
    exitWord.published = 1
    wake()
  }

  /// The kernel has refused to enter a ring, `count` times.
  func tellRingRefusal(_ errno: Int32, count: UInt64) {
    ringError.published = UInt64(errno)
    ringRefusals.add(Int(clamping: count))
    wake()
  }

  /// How many times since the start, and the last error.
  var ringRefusal: (count: UInt64, errno: Int32) {
    let count = ringRefusals.published
    return (count, Int32(truncatingIfNeeded: ringError.published))
  }

  /// The number of the control thread's last call for a sign of life. A host that is woken writes it down.
  var call: UInt64 {
    get { callWord.published }
    nonmutating set { callWord.published = newValue }
  }

  func wake() { voltlane_eventfd_signal(signal) }
}
