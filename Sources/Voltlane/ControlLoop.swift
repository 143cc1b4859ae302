import Glibc
import Logging
import Relay

/// What the main thread does while the relay runs: it writes events to the log, and ends the relay when a signal asks.
struct ControlLoop {
  let relay: Relay
  let signals: Signals
  let log: Logger

  /// Returns when the relay has stopped. The first signal drains, the second ends the process.
  func run() {
    var deadline: ContinuousClock.Instant?
    while deadline == nil || !relay.isFinished {
      switch signals.wait(or: relay.signal, atMost: deadline.map { ContinuousClock.now.duration(to: $0) }) {
      case .readable:
        logEvents()
      case .timeout:
        log.warning("the time for the shutdown is over: giving up what is still queued")
        deadline = .now
        stop()
        return
      case .signal(let signal) where deadline == nil:
        let limit = relay.configuration.shutdownTimeout
        log.info("\(name(signal)): draining, at most \(limit.setting)")
        deadline = .now + limit
        relay.drain()
      case .signal(let signal):
        log.warning("\(name(signal)): giving up what is still queued")
        // At once: no handlers, no waiting for threads. The code is what a shell reports of a signal.
        _exit(128 + signal)
      }
    }
    stop()
  }

  private func stop() {
    relay.stop()
    logEvents()
  }

  private func logEvents() {
    relay.takeEvents { event in
      let (message, metadata) = event.logged
      log.log(level: event.level.logged, message, metadata: metadata)
    }
  }

  private func name(_ signal: Int32) -> String {
    switch signal {
    case SIGTERM: "SIGTERM"
    case SIGINT: "SIGINT"
    default: "signal \(signal)"
    }
  }
}
