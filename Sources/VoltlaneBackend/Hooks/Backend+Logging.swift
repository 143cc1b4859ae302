#if Logging
import Logging
import VoltlaneText

extension Backend {
  /// Logs what happens to the backend's connections, from now on: each that begins or ends, and warnings. Nothing is
  /// logged for a client or a packet, except those that are skipped.
  public func log(to logger: Logger) { add(LoggingHook(logger: logger)) }
}

private struct LoggingHook: BackendHook {
  let logger: Logger

  func note(_ events: [(element: BackendEvent, cost: Int)], waiting: Int) {
    for (event, _) in events {
      switch event {
      case .connected(let firehose): logger.info("relay connected", metadata: metadata(firehose))
      case .announced(let firehose): logger.debug("all sessions are named", metadata: metadata(firehose))
      case .disconnected(let firehose, let ending):
        logger.notice("relay disconnected", metadata: metadata(firehose, ["ending": "\(ending)"]))
      case .warning(let warning): logger.warning("\(warning)")
      case .refusedPacket(let error): logger.warning("packet skipped", metadata: ["error": "\(error)"])
      case .data, .failure, .reconnection, .away, .address: break
      }
    }
  }

  private func metadata(_ firehose: Firehose, _ more: Logger.Metadata = [:]) -> Logger.Metadata {
    let remote = firehose.remoteAddress.map { "\($0)" } ?? "unix"
    return more.merging(["firehose": "\(firehose.number)", "remote": "\(remote)"]) { $1 }
  }
}
#endif
