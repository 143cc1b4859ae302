/// The client's numbers that are no options, each with its reason.
enum ClientLimits {
  /// A connection must have lived this long before delays start small again, as the relay's own do: one that is made
  /// and lost over and over must not be made ever faster.
  static let settled = Duration.seconds(10)

  /// State changes that wait for a slow observer; over this the oldest go, as only the newest matters.
  static let states = 64
}
