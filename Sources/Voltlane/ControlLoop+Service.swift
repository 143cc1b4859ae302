import Logging
import VoltlaneText

/// What whoever runs the relay as a service hears of it.
extension ControlLoop {
  /// The relay serves clients: from here on it is reported how it is.
  mutating func beginReports(_ manager: ServiceManager) {
    let reports = ServiceReports(manager, status: serviceStatus)
    service = reports
    guard reports.error != 0 else { return }
    log.warning(
      "the service manager cannot be told that the relay runs (NOTIFY_SOCKET)",
      metadata: ["socket": "\(manager.socket)", "error": "\(systemMessage(reports.error))"])
  }

  /// Tells what is due, and calls the threads for a sign of life.
  mutating func reportToService() {
    guard var reports = service else { return }
    let change = reports.look(
      silent: { relay.silentThreads }, call: { relay.callThreads() }, status: { serviceStatus })
    service = reports
    switch change {
    case .silent(let threads):
      log.error(
        "threads do not answer: if that lasts, the service manager ends the relay (WATCHDOG_USEC)",
        metadata: ["threads": "\(threads.joined(separator: ", "))"])
    case .heard: log.warning("all threads answer again")
    case nil: break
    }
  }

  /// In a line, for `systemctl status`.
  private var serviceStatus: String {
    if isEnding { return "shutting down" }
    guard let observer = desk?.observer else { return "starting" }
    let clients = "sessions: \(observer.attachedSessions) attached, \(observer.staleSessions) away"
    let backend = observer.firehoseState == .connected ? "backend connected" : "no backend (\(observer.firehoseState))"
    let reload = lastReloadFailed ? "; the last reload failed" : ""
    return "\(gradual == nil ? "" : "draining: ")\(clients); \(backend)\(reload)"
  }
}
