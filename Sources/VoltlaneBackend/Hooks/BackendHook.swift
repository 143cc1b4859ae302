#if Logging || Metrics
/// Hears of every event before it is taken. There is none, nor a call for one, without the traits that need it.
protocol BackendHook: Sendable {
  /// On the event loop; of packets, as many as one read brought.
  func note(_ events: [(element: BackendEvent, cost: Int)], waiting: Int)
}
#endif
