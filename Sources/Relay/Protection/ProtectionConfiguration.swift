/// How the relay protects itself, and its clients from one another. A count, rate or time that is nil has no limit. An
/// address is one IPv4 address or the /64 of an IPv6 one; a prefix is a /24 or a /56.
public struct ProtectionConfiguration: Sendable {
  /// Connections of the relay; one more is closed as soon as it is accepted.
  public var maxClients: Int? = 65_536
  public var maxClientsPerAddress: Int? = 64
  public var maxClientsPerPrefix: Int? = 256

  /// New connections.
  public var acceptRate: Rate?
  public var acceptRatePerAddress: Rate? = Rate(20, per: .second, burst: 40)

  /// For the whole handshake, not counting the time for which the relay keeps the client waiting.
  public var handshakeTimeout: Duration? = .seconds(5)
  /// For each shard.
  public var maxPendingHandshakes: Int? = 4096
  public var maxPendingHandshakesPerAddress: Int? = 16

  /// An address that breaks the protocol more often than this may not connect for ``banTime``. Its existing connections
  /// stay.
  public var banAfter: Rate? = Rate(30, per: .minute)
  public var banTime: Duration = .seconds(5 * 60)

  /// Wrong answers to a session's challenge from one address, and wrong answers from one address to any. Above it, new
  /// attempts are refused.
  public var reconnectFailures: Rate? = Rate(5, per: .minute)
  public var reconnectFailuresPerAddress: Rate? = Rate(20, per: .minute)

  /// What one client may send. Above it, the client is throttled or ended, as ``ratePolicy`` says.
  public var clientPacketRate: Rate?
  public var clientByteRate: Rate?
  public var ratePolicy = RatePolicy.pause
  /// How long a client may send nothing before it ends with `idle timeout`.
  public var idleTimeout: Duration?
  /// How long a client may take nothing of what waits for it before it ends with `slow client`.
  public var slowClientTimeout: Duration? = .seconds(10)

  /// What the relay may hold for clients, in bytes: near it nobody new is admitted, and nearer still sessions end with
  /// `memory`, starting with those that hold most.
  public var memoryBudget = 1024 * 1024 * 1024

  /// How many connections the kernel queues until the relay accepts them.
  public var backlog = 4096
  /// How long the kernel may hold back a TCP connection on which nothing has arrived yet. In whole seconds.
  public var deferAccept: Duration?

  /// Addresses whose clients are exempt from limits by address and from ``denied``.
  public var allowed: [Network] = []
  /// Addresses that may not connect.
  public var denied: [Network] = []
  /// Whether limits by address apply to the loopback as well.
  public var limitsLoopback = false

  /// Load balancers: each of their connections begins with a PROXY header, and limits by address see the client it
  /// names.
  public var proxies: [Network] = []
  /// The same for connections over unix sockets.
  public var trustsUnixProxies = false

  /// How a connection is treated that is refused before the relay has sent anything.
  public var rejection = Rejection.close

  public init() {}
}

/// How a connection ends that is refused before the relay has sent anything.
public enum Rejection: String, Sendable, CaseIterable, BitwiseCopyable {
  case close
  case reset
  /// The relay forgets it, and the client is told nothing: it only finds out when it asks.
  case silent
}

extension ProtectionConfiguration {
  public static let countRange = 1...(1 << 24)
  public static let banTimeRange = Duration.seconds(1)...Duration.seconds(24 * 60 * 60)
  public static let backlogRange = 1...65_535
  /// The kernel takes whole seconds, and rounds them up to a number of its retransmissions.
  public static let deferAcceptRange = Duration.seconds(1)...Duration.seconds(60)
  public static let idleTimeoutRange = Duration.seconds(1)...Duration.seconds(7 * 24 * 60 * 60)
  public static let slowClientTimeoutRange = Duration.milliseconds(200)...Duration.seconds(60 * 60)
  /// Less would hardly hold a single client.
  public static let memoryBudgetRange = (1 << 20)...(1 << 44)
  public static let handshakeTimeoutRange = Duration.milliseconds(200)...Duration.seconds(60 * 60)
}
