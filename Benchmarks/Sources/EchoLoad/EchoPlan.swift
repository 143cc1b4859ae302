/// What a run shall do: the flags of `voltlane-bench echo`, checked.
public struct EchoPlan: Sendable {
  /// When the measurement ends.
  public enum Length: Sendable {
    case seconds(Double)
    case roundTrips(UInt64)
  }

  public var relay: Address
  /// Where the echo backend listens; nil where another process is the backend.
  public var backend: Address?
  public var clients: Int
  public var size: Int
  public var window: Int
  public var length: Length
  public var warmup: Double
  public var relayPID: Int32?
  public var congestionControl: String?
  public var connectConcurrency: Int
  /// Whether the backend has a thread of its own.
  public var backendThread: Bool
  /// How long the relay may take to dial in and to accept, in seconds.
  public var startTimeout: Double
  /// How long the last echoes may take, and how long nothing at all may come, in seconds.
  public var drainTimeout: Double

  public init(
    relay: Address, backend: Address?, clients: Int, size: Int, window: Int, length: Length, warmup: Double,
    relayPID: Int32?, congestionControl: String?, connectConcurrency: Int, backendThread: Bool, startTimeout: Double,
    drainTimeout: Double
  ) {
    self.relay = relay
    self.backend = backend
    self.clients = clients
    self.size = size
    self.window = window
    self.length = length
    self.warmup = warmup
    self.relayPID = relayPID
    self.congestionControl = congestionControl
    self.connectConcurrency = connectConcurrency
    self.backendThread = backendThread
    self.startTimeout = startTimeout
    self.drainTimeout = drainTimeout
  }
}
