import NIOCore
import NIOPosix
import VoltlaneWire

/// How a client connects and comes back, and how much it holds.
public struct ClientOptions: Sendable {
  /// The time for everything that connecting involves: resolving the name, reaching the relay and the handshake. Each
  /// attempt to come back has the same time.
  public var connectTimeout: Duration
  /// The largest packet either way, in bytes: the relay's `max-packet-size`.
  public var maxPacketSize: Int
  /// The connection is not read while this many bytes of packets are waiting to be taken; each counts its data and 64
  /// bytes.
  public var receiveLimit: Int
  /// ``Client/send(_:)-(ByteBuffer)`` waits while this many bytes of packets are waiting to be sent; each packet counts
  /// its data and 64 bytes. The same limit applies while there is no connection.
  public var sendLimit: Int
  /// The relay's public key, if it is known beforehand: a SEC1 point of 33 bytes, as in ``Client/relayPublicKey``. A
  /// relay with another key is rejected with ``ClientError/wrongRelayKey(expected:received:)``. nil: the key of the
  /// first connection is accepted, whatever it is, and pinned for the following ones.
  public var relayKey: [UInt8]?
  /// How the client comes back when its connection is lost; nil: it does not, and ``Client/packets`` end.
  public var reconnection: Reconnection?
  /// How long the relay may be silent until the kernel asks whether it is still there (TCP keepalive, whole seconds);
  /// it counts as lost after twice that, or after ``userTimeout`` if that is longer. Without it, a client that only
  /// receives would never notice that its network is gone. nil: off.
  public var keepAlive: Duration?
  /// How long what was sent may stay unacknowledged until the connection counts as lost (TCP_USER_TIMEOUT). nil: the
  /// system's limit, about 15 minutes unless `tcp_retries2` says otherwise.
  public var userTimeout: Duration?
  /// A packet that is sent when nothing arrives; nil: none. The kernel's means above need none. A heartbeat is for
  /// clients for which their times are too long, or whose connection leads through proxies that keep it alive without a
  /// relay behind them.
  public var heartbeat: Heartbeat?
  /// The threads to run on; a client uses one of them.
  public var group: any EventLoopGroup

  /// Between attempts there are delays, which double from the first to the last. Each delay is random, between 0 and
  /// its full length, so that the clients of a relay do not all come at once. Delays start small again once a
  /// connection has lived 10 s.
  public struct Reconnection: Equatable, Sendable {
    /// The longest delay before the first attempt.
    public var firstDelay: Duration
    /// The longest delay before any attempt.
    public var lastDelay: Duration
    /// How long after the loss of the connection the client gives up; nil: never. A relay forgets a client after its
    /// `stale-timeout`, which is 5 minutes by default.
    public var giveUpAfter: Duration?

    public init(
      firstDelay: Duration = .milliseconds(100), lastDelay: Duration = .seconds(10),
      giveUpAfter: Duration? = .seconds(300)
    ) {
      precondition(firstDelay >= .zero && lastDelay >= firstDelay, "no delays")
      self.firstDelay = firstDelay
      self.lastDelay = lastDelay
      self.giveUpAfter = giveUpAfter
    }
  }

  /// An application packet that shows whether the network, the relay and the backend are there. Version 2 of the
  /// protocol has no such packet: the backend sees this one like any other, and has to know it.
  public struct Heartbeat: Equatable, Sendable {
    /// What is sent.
    public var packet: [UInt8]
    /// It is sent once nothing has arrived from the relay for this long, and again after the same time.
    public var interval: Duration
    /// The connection counts as lost if nothing at all has arrived for this long after the heartbeat was sent, so the
    /// backend has to answer it. nil: only the kernel's means decide.
    public var answerWithin: Duration?

    public init(packet: [UInt8], interval: Duration = .seconds(10), answerWithin: Duration? = nil) {
      precondition(interval > .zero && answerWithin ?? .seconds(1) > .zero, "no times of a heartbeat")
      self.packet = packet
      self.interval = interval
      self.answerWithin = answerWithin
    }
  }

  public init(
    connectTimeout: Duration = .seconds(10),
    maxPacketSize: Int = Wire.defaultMaxPacketSize,
    receiveLimit: Int = 1 << 20,
    sendLimit: Int = 1 << 20,
    relayKey: [UInt8]? = nil,
    reconnection: Reconnection? = Reconnection(),
    keepAlive: Duration? = .seconds(30),
    userTimeout: Duration? = .seconds(30),
    heartbeat: Heartbeat? = nil,
    group: any EventLoopGroup = .singletonMultiThreadedEventLoopGroup
  ) {
    self.connectTimeout = connectTimeout
    self.maxPacketSize = maxPacketSize
    self.receiveLimit = receiveLimit
    self.sendLimit = sendLimit
    self.relayKey = relayKey
    self.reconnection = reconnection
    self.keepAlive = keepAlive
    self.userTimeout = userTimeout
    self.heartbeat = heartbeat
    self.group = group
  }
}
