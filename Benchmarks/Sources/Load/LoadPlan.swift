import Glibc

/// What a run shall do: the flags of `voltlane-bench`'s modes that move packets, checked.
public struct LoadPlan: Sendable {
  /// Which way packets go.
  public enum Mode: String, Sendable {
    /// To the backend and back.
    case echo
    /// To the backend, which counts and checks them.
    case ingest
    /// From the backend, to each client its own.
    case egress
    /// From the backend, each to all clients.
    case oneToAll = "one-to-all"
    /// Nowhere, until each client exchanges one packet at the end.
    case idle

    /// Whether the backend sends what it was not sent.
    var isFromBackend: Bool { self == .egress || self == .oneToAll }
    /// What is counted.
    var unit: String { self == .echo || self == .idle ? "round trip" : "packet" }
  }

  /// When the next packet is sent.
  public enum Pace: Sendable, Equatable {
    /// When fewer than this many are in flight: of each client, or, one to all, of those that go to all.
    case window(Int)
    /// When it is due, whatever has come of those before: this many a second, over all clients.
    case rate(Double)
  }

  /// When the measurement ends.
  public enum Length: Sendable {
    case seconds(Double)
    case packets(UInt64)
  }

  public var mode: Mode
  public var relay: Address
  /// Where the backend listens; nil where another process is the backend.
  public var backend: Address?
  /// Whether the relay is a plain TCP proxy: no handshake, no tags, and a connection to the backend for each client.
  public var isPlain = false
  public var clients = 1
  /// One to all: whether a packet goes to the relay once for all clients, or once for each.
  public var isMulticast = false
  /// How many of them do not read during the measurement, but keep sending: what do the others notice?
  public var stalled = 0
  public var sizes = PacketSizes(64)
  public var pace = Pace.window(1)
  public var length = Length.seconds(5)
  public var warmup = 1.0
  public var relayPID: Int32?
  public var congestionControl: String?
  public var connectConcurrency = 64
  /// Whether the backend has a thread of its own.
  public var backendThread = false
  /// Whether the relay's system calls are counted, in a short time of their own after the measurement.
  public var countsSystemCalls = false
  /// Whether it is sampled how much of its time the relay is in user space, in a short time of its own as well.
  public var samplesUserShare = false
  /// Whether a line a second goes to standard error.
  public var showsProgress = false
  /// How long the relay may take to dial in and to accept, in seconds.
  public var startTimeout = 15.0
  /// How long the last packets may take, and how long nothing at all may come, in seconds.
  public var drainTimeout = 5.0

  var window: Int? { if case .window(let packets) = pace { packets } else { nil } }
  var rate: Double? { if case .rate(let rate) = pace { rate } else { nil } }

  var backendBehaviour: LoadBackend.Behaviour {
    if isPlain { return .echoBytes }
    return mode == .echo || mode == .idle ? .echo : .collect
  }

  public init(mode: Mode, relay: Address, backend: Address?) {
    self.mode = mode
    self.relay = relay
    self.backend = backend
  }
}

extension LoadPlan {
  /// Whether somebody is likely to read standard error.
  public static var isWatched: Bool { isatty(STDERR_FILENO) == 1 }
}
