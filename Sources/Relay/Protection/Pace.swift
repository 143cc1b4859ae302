/// How fast, and how rarely, a client may send.
struct Pace: Equatable, BitwiseCopyable, Sendable {
  let packets: Rate?
  let bytes: Rate?
  let policy: RatePolicy
  /// `.max` if a client may be silent for ever.
  let idleTimeout: UInt64

  /// Whether anything has to be counted: a packet pays for this only if something has.
  let isMetered: Bool
  /// One read of one client: what it brings is accepted, whatever the rates say.
  let readSize: Int

  init(_ configuration: ProtectionConfiguration) {
    packets = configuration.clientPacketRate.map(Pace.widened)
    bytes = configuration.clientByteRate.map(Pace.widened)
    policy = configuration.ratePolicy
    idleTimeout = configuration.idleTimeout?.nanoseconds ?? .max
    readSize = packets == nil && bytes == nil ? Limits.readSize : Limits.meteredReadSize
    isMetered = packets != nil || bytes != nil || configuration.idleTimeout != nil
  }

  /// A pause ends with a tick of the wheel. What arrives in two ticks must fit into the bucket, or the client would get
  /// less than its rate.
  private static func widened(_ rate: Rate) -> Rate {
    let ticks = UInt64(2) << Limits.wheelTickShift
    let tokens = UInt64(rate.count).multipliedFullWidth(by: ticks)
    let (inTicks, _) = (rate.period.rawValue &* Limits.second).dividingFullWidth(tokens)
    return Rate(rate.count, per: rate.period, burst: max(rate.burst, Int(inTicks)))
  }
}

/// The rates of a client.
public enum ClientRate: UInt8, Sendable, CaseIterable, BitwiseCopyable {
  case packets, bytes

  public var metric: Metric {
    switch self {
    case .packets: .slowedPacketRate
    case .bytes: .slowedByteRate
    }
  }
}

/// What happens to a client that exceeds its rate.
public enum RatePolicy: String, Sendable, CaseIterable, BitwiseCopyable {
  /// It is not read for a while, and TCP slows it down.
  case pause
  /// Its session ends with `rate limit`.
  case end
}
