import Glibc

/// Whoever runs the relay as a service and wants to hear how it is: systemd, or whatever else sets NOTIFY_SOCKET.
struct ServiceManager: Sendable {
  /// Where it listens: a path, or @ and a name.
  let socket: String
  /// Without a sign of life for so long it takes the process for dead; nil if it does not look.
  let watchdog: Duration?
  /// What messages are sent from. Open for good: where no descriptor is left, a healthy relay still gives its signs of
  /// life.
  private let own: Int32

  /// nil if nobody wants to hear anything.
  init?(_ environment: [String: String] = System.environment(), process: Int32 = getpid()) {
    guard let socket = environment["NOTIFY_SOCKET"], !socket.isEmpty else { return nil }
    self.socket = socket
    own = System.openNotifier()
    // A process may have got its parent's environment, with a watchdog that waits for the parent.
    let isMeant = environment["WATCHDOG_PID"].map { $0 == "\(process)" } ?? true
    let time = isMeant ? environment["WATCHDOG_USEC"].flatMap(Int64.init) ?? 0 : 0
    watchdog = time > 0 ? .microseconds(time) : nil
  }

  enum Message {
    /// The relay serves clients: after the start, or with new settings.
    case ready
    case reloading
    case stopping
    case alive
    case status(String)

    var text: String {
      switch self {
      case .ready: "READY=1"
      // When it was asked for, which is before now.
      case .reloading: "RELOADING=1\nMONOTONIC_USEC=\(System.monotonicMicroseconds())"
      case .stopping: "STOPPING=1"
      case .alive: "WATCHDOG=1"
      // One line, whatever is in it.
      case .status(let text): "STATUS=\(String(text.map { $0.isNewline ? " " : $0 }))"
      }
    }
  }

  /// Never waits. Returns the system's error, or 0.
  @discardableResult
  func tell(_ messages: Message...) -> Int32 {
    System.notify(socket, messages.map(\.text).joined(separator: "\n"), from: own)
  }
}
