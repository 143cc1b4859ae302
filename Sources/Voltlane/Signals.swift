import CLinux

/// SIGTERM and SIGINT, read one after the other instead of interrupting whatever runs.
///
/// Make it before the first thread: threads inherit what is blocked, and a signal that any thread does not block ends
/// the process. There is one, and it lives as long as the process.
struct Signals: Sendable {
  /// What ended the wait.
  enum Wake: Equatable, Sendable {
    case signal(Int32)
    case event
  }

  /// Something that another thread tells the one that waits.
  struct Event: Sendable {
    fileprivate let descriptor: Int32

    func post() {
      voltlane_event_post(descriptor)
    }
  }

  private let descriptor: Int32
  let event: Event

  init() throws(StartError) {
    let signals = voltlane_block_signals()
    guard signals >= 0 else { throw .system("signalfd", errno: -signals) }
    let event = voltlane_event_open()
    guard event >= 0 else { throw .system("eventfd", errno: -event) }
    descriptor = signals
    self.event = Event(descriptor: event)
  }

  /// Waits for the next signal, or for the event.
  func wait() -> Wake {
    let signal = voltlane_wait(descriptor, event.descriptor)
    precondition(signal >= 0, "poll: error \(-signal)")
    return signal == 0 ? .event : .signal(signal)
  }
}

/// Why the program cannot start.
enum StartError: Error, CustomStringConvertible {
  case system(String, errno: Int32)

  var description: String {
    switch self {
    case .system(let call, let errno): "\(call): error \(errno)"
    }
  }
}
