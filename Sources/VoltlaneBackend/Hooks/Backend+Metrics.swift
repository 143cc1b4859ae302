#if Metrics
import Metrics

extension Backend {
  /// Counts what comes from now on, with the metrics system's factory or another one: `voltlane_backend_packets`,
  /// `_packet_bytes`, `_failures`, `_connections` and `_refused_packets`, and `_waiting_bytes`, a gauge. A read that
  /// brings many packets counts them at once.
  public func report(to factory: any MetricsFactory = MetricsSystem.factory) { add(MetricsHook(factory)) }
}

private struct MetricsHook: BackendHook {
  let packets: Metrics.Counter
  let bytes: Metrics.Counter
  let failures: Metrics.Counter
  let connections: Metrics.Counter
  let refused: Metrics.Counter
  let waiting: Gauge

  init(_ factory: any MetricsFactory) {
    func counter(_ name: String) -> Metrics.Counter {
      Metrics.Counter(label: "voltlane_backend_\(name)", factory: factory)
    }
    packets = counter("packets")
    bytes = counter("packet_bytes")
    failures = counter("failures")
    connections = counter("connections")
    refused = counter("refused_packets")
    waiting = Gauge(label: "voltlane_backend_waiting_bytes", factory: factory)
  }

  func note(_ events: [(element: BackendEvent, cost: Int)], waiting cost: Int) {
    var (packetCount, byteCount) = (0, 0)
    for (event, _) in events {
      switch event {
      case .data(_, let packet):
        packetCount += 1
        byteCount += packet.readableBytes
      case .failure: failures.increment()
      case .connected: connections.increment()
      case .refusedPacket: refused.increment()
      case .announced, .disconnected, .reconnection, .away, .address, .warning: break
      }
    }
    if packetCount > 0 {
      packets.increment(by: packetCount)
      bytes.increment(by: byteCount)
    }
    waiting.record(cost)
  }
}
#endif
