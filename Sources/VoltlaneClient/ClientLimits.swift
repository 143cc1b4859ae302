/// The client's numbers that are not options, each with its reason.
enum ClientLimits {
  /// A connection must have lived this long before delays start small again, as with the relay's own dials: a
  /// connection that is lost over and over must not be dialled ever faster.
  static let settled = Duration.seconds(10)

  /// If the relay closes this many young connections in a row while the session lives on, another client has the same
  /// session. A proxy in between may lose a relay once or twice.
  static let takeovers = 3

  /// The longest delay of a client that shares its session: as long as a relay keeps a session whose client is away.
  static let sharedDelay = Duration.seconds(300)

  /// How many state changes may wait for a slow observer; beyond this the oldest are dropped, because only the newest
  /// matters.
  static let states = 64
}
