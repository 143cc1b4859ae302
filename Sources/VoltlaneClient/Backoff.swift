/// Delays before attempts to come back: each is random, between 0 and a length that doubles.
struct Backoff {
  private let first: Duration
  private let last: Duration
  private var longest: Duration

  init(_ reconnection: ClientOptions.Reconnection) {
    first = reconnection.firstDelay
    last = reconnection.lastDelay
    longest = first
  }

  /// `fraction` is random, from 0 up to 1.
  mutating func next(fraction: Double) -> Duration {
    defer { longest = min(longest * 2, last) }
    return longest * fraction
  }

  mutating func startOver() {
    longest = first
  }
}

/// The clock and the random numbers of reconnecting; tests have their own.
struct Pacing: Sendable {
  var now: @Sendable () -> ContinuousClock.Instant
  /// Throws if the task is cancelled.
  var sleep: @Sendable (Duration) async throws -> Void
  /// From 0 up to 1.
  var fraction: @Sendable () -> Double

  static let real = Pacing(
    now: { .now }, sleep: { try await Task.sleep(for: $0) }, fraction: { Double.random(in: 0..<1) })
}
