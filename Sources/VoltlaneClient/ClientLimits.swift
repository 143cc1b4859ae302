/// The client's numbers that are no options, each with its reason.
enum ClientLimits {
  /// A connection must have lived this long before delays start small again, as the relay's own do: one that is made
  /// and lost over and over must not be made ever faster.
  static let settled = Duration.seconds(10)

  /// State changes that wait for a slow observer; over this the oldest go, as only the newest matters.
  static let states = 64

  /// Probes without an answer until a silent relay counts as lost.
  static let keepAliveProbes: Int = 3

  /// The kernel's settings for `duration` of silence before the first probe; the others follow in a third of it, so that
  /// a dead path is noticed after twice the time. The kernel takes 1 to 32767 seconds.
  static func keepAliveSeconds(_ duration: Duration) -> (idle: Int, interval: Int) {
    let idle = Int(min(max(duration.components.seconds, 1), 32_767))
    return (idle, max(idle / 3, 1))
  }
}
