#if Logging
import Logging
import VoltlaneText

extension Client {
  /// Logs what happens to the client's connection, from now on until the client is over.
  public func log(to logger: Logger) {
    var logger = logger
    logger[metadataKey: "client"] = "\(String(clientID: clientID))"
    Task { [states, logger] in
      for await state in states {
        switch state {
        case .connected: logger.info("connected")
        case .reconnecting(let attempt, let cause):
          logger.notice("reconnecting", metadata: ["attempt": "\(attempt)", "cause": "\(cause)"])
        case .reconnected: logger.info("reconnected")
        case .over(let ending): logger.notice("the client is over", metadata: ["ending": "\(ending)"])
        }
      }
    }
  }
}
#endif
