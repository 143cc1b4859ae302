/// The client's numbers that are no options, each with its reason.
enum ClientLimits {
  /// A connection must have lived this long before delays start small again, as the relay's own do: one that is made
  /// and lost over and over must not be made ever faster.
  static let settled = Duration.seconds(10)

  /// So many connections in a row that the relay closed young, while the session lived on: another client has the same
  /// session. A proxy in between may lose a relay once, or twice.
  static let takeovers = 3

  /// The longest delay of a client that shares its session: as long as a relay keeps one whose client is away.
  static let sharedDelay = Duration.seconds(300)

  /// State changes that wait for a slow observer; over this the oldest go, as only the newest matters.
  static let states = 64
}
