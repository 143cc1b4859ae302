#if Metrics
import Metrics

extension Client {
  /// Reports the client's connection from now on until the client is over, with the metrics system's factory or
  /// another one: `voltlane_client_connected`, a gauge that is 1 or 0, and the counters
  /// `voltlane_client_reconnections` and `voltlane_client_reconnection_attempts`.
  public func report(to factory: any MetricsFactory = MetricsSystem.factory) {
    let connected = Gauge(label: "voltlane_client_connected", factory: factory)
    let reconnections = Counter(label: "voltlane_client_reconnections", factory: factory)
    let attempts = Counter(label: "voltlane_client_reconnection_attempts", factory: factory)
    Task { [states] in
      for await state in states {
        switch state {
        case .connected: connected.record(1)
        case .reconnecting:
          connected.record(0)
          attempts.increment()
        case .reconnected:
          connected.record(1)
          reconnections.increment()
        case .over: connected.record(0)
        }
      }
    }
  }
}
#endif
