/// One client: its socket and where it stands. A trivial value that lives in one array with its neighbours; it owns no
/// buffer, because what is sent can be made again (see `Pattern`) and what is received is checked as it comes.
struct LoadClient {
  enum State {
    /// Has no socket yet, or will try again.
    case waiting
    case connecting
    /// Has sent version and key; awaits the relay's key and its own id.
    case handshaking
    case open
    case closed
  }

  var fd: Int32 = -1
  var state = State.waiting
  /// The relay's name for it.
  var id: UInt64 = 0
  /// The socket did not take all; the rest goes when it is ready for output.
  var wantsOutput = false
  /// Leaves unread what comes for it.
  var isStalled = false
  /// Whether its packets are timed at a rate: not those of clients that stall.
  var isTimed = true
  /// Is on the list of clients that have something to send.
  var isDue = false
  /// Bytes of the packet `sent` that were handed to the socket already.
  var partial = 0
  /// Packets that were handed to the socket whole.
  var sent: UInt64 = 0
  /// Packets that may be sent, ever, where time or the others decide and not the client's own window.
  var allowed: UInt64 = 0
  var checker = PacketChecker()
  /// The packet whose way is being timed, one at a time, and when it was sent; 0 while none is.
  var timedSequence: UInt64 = 0
  var timedAt: UInt64 = 0

  var inFlight: Int { Int(sent - checker.answered) }
}
