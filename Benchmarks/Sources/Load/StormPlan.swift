/// What a storm of connections shall do: the flags of `voltlane-bench connect-storm` and `reconnect-storm`, checked.
public struct StormPlan: Sendable {
  public enum Mode: String, Sendable {
    /// New clients, which leave as soon as they have their id.
    case connect = "connect-storm"
    /// The same, and then each comes back, more than once.
    case reconnect = "reconnect-storm"
  }

  public var mode: Mode
  public var relay: Address
  /// Where the backend listens; nil where another process is the backend.
  public var backend: Address?
  public var clients = 10_000
  /// Connections that may be under way at a time.
  public var concurrency = 64
  /// How often each client comes back.
  public var rounds = 2
  public var relayPID: Int32?
  public var congestionControl: String?
  /// How long the relay may take to dial in, and how long nothing at all may happen, in seconds.
  public var startTimeout = 15.0

  public init(mode: Mode, relay: Address, backend: Address?) {
    self.mode = mode
    self.relay = relay
    self.backend = backend
  }
}
