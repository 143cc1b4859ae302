import VoltlaneNIO
import VoltlaneText

/// What can go wrong for a backend.
public enum BackendError: Error, Equatable, Sendable {
  /// The address is taken or not allowed, or its name does not resolve; `reason` is the system's description.
  case cannotListen(Endpoint, reason: String)
  /// No relay is connected, or it left before the packet was queued. The packet was dropped.
  case notConnected
  /// A packet of `size` bytes was to be sent, and `maximum` are allowed. It was dropped.
  case packetTooLarge(size: Int, maximum: Int)
  /// The task was cancelled while it waited for room. The packet was dropped.
  case cancelled
}

extension BackendError: CustomStringConvertible {
  public var description: String {
    switch self {
    case .cannotListen(let endpoint, let reason): "cannot listen on \(endpoint): \(reason)"
    case .notConnected: "no relay is connected"
    case .packetTooLarge(let size, let maximum):
      "a packet of \(size) bytes is too large; at most \(maximum) are allowed"
    case .cancelled: "the task was cancelled"
    }
  }
}
