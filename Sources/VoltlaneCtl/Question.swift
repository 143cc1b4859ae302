import VoltlaneText

/// A question before something that many clients notice.
enum Question {
  /// Whether whoever asks is sure to end the sessions of a network: because of --yes, or because they say so on a
  /// terminal. False where nobody can be asked; the relay then refuses what is wide. Throws if they are not.
  static func isAnswered(_ effect: String, of network: String, yes: Bool, _ common: Common) throws -> Bool {
    if yes { return true }
    // One address is not asked about.
    guard network.contains("/"), Terminal.isThere else { return false }
    let connection = try common.connect(patience: patience)
    if let found = try counted(network, connection) {
      StandardError.ask(words(effect, of: network, found.count, of: found.sessions))
    } else {
      StandardError.ask(words(effect, of: network))
    }
    guard let line = readLine(), isYes(line) else { throw ControlFailure.refused("nothing was done") }
    return true
  }

  /// How long the relay may take to count, in milliseconds: a ban is wanted most while it has much to do.
  private static let patience: Int32 = 3000

  /// How many sessions of how many are from a network; nil if the relay has no time to say.
  private static func counted(
    _ network: String, _ connection: ControlConnection
  ) throws(ControlFailure) -> (count: Int, sessions: Int)? {
    do throws(ControlFailure) {
      let clients = try connection.ask(["command": "clients", "address": .string(network), "top": 1])
      let sessions = try connection.ask(["command": "status"])["sessions"]?.integer ?? 0
      return (clients["total"]?.integer ?? 0, sessions)
    } catch {
      // The network may be written wrongly.
      if case .refused(let reason) = error, !reason.hasPrefix("busy") { throw error }
      return nil
    }
  }

  static func words(_ effect: String, of network: String) -> String {
    "This ends all sessions from \(network)\(effect). Go on? [y/N] "
  }

  static func words(_ effect: String, of network: String, _ count: Int, of sessions: Int) -> String {
    "This ends \(count) of \(Shown.count(sessions, "session")), all from \(network)\(effect). Go on? [y/N] "
  }

  static func isYes(_ line: String) -> Bool { ["y", "yes"].contains(line.lowercased()) }
}
