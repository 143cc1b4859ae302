import CLinux
import Glibc

/// The signals that ask for something, read one after the other instead of interrupting whatever runs. What happens to
/// all others is decided here as well.
///
/// There is one, and it lives as long as the process.
package struct Signals: Sendable {
  /// What ended a wait.
  package enum Wake: Equatable, Sendable {
    case signal(Int32)
    case readable
    case timeout
  }

  private let descriptor: Int32

  /// Decides about every signal, first thing in `main`. From here to ``init()`` SIGTERM, SIGINT and SIGQUIT end the
  /// process at once, whatever it is waiting for; SIGHUP, SIGUSR1 and SIGUSR2 wait.
  package static func decide() { voltlane_decide_signals() }

  /// Create it before the first thread other than the log's: threads inherit what is blocked, and a signal that any
  /// thread does not block is delivered there.
  package init() throws(StartError) {
    descriptor = voltlane_take_signals()
    guard descriptor >= 0 else { throw StartError(doing: "signalfd", errno: -descriptor) }
  }

  /// Waits for the next signal that asks for an end. SIGUSR1 asks for news, and there is none; SIGUSR2 asks to let
  /// clients go, and there are none.
  package func wait() {
    while true {
      if case .signal(let signal) = wait(or: -1, atMost: nil), signal != SIGUSR1, signal != SIGUSR2 { return }
    }
  }

  /// Waits for the next signal, for one of three other descriptors to become readable, or for `limit` to pass; nil is
  /// for ever.
  package func wait(or first: Int32, _ second: Int32 = -1, _ third: Int32 = -1, atMost limit: Duration?) -> Wake {
    switch voltlane_wait(descriptor, first, second, third, limit.map(Self.milliseconds) ?? -1) {
    case Int32(VOLTLANE_READABLE): .readable
    case Int32(VOLTLANE_TIMEOUT): .timeout
    case let signal: .signal(signal)
    }
  }

  /// Rounded up, so that a wait that is over is not begun again for nothing.
  private static func milliseconds(_ duration: Duration) -> Int32 {
    let (seconds, attoseconds) = duration.components
    let milliseconds = seconds * 1000 + (attoseconds + 999_999_999_999_999) / 1_000_000_000_000_000
    return Int32(clamping: max(0, milliseconds))
  }
}
