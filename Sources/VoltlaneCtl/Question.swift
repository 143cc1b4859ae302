import VoltlaneText

/// A question before something that many clients notice.
enum Question {
  /// Whether whoever asks is sure to end the sessions of a network: because of --yes, or because they say so on a
  /// terminal. False where nobody can be asked; the relay then refuses what is wide. Throws if they are not.
  static func isAnswered(_ effect: String, of network: String, yes: Bool, _ common: Common) throws -> Bool {
    if yes { return true }
    // One address is not asked about.
    guard network.contains("/"), Terminal.isThere else { return false }
    let connection = try common.connect()
    let clients = try connection.ask(["command": "clients", "address": .string(network), "top": 1])
    let sessions = try connection.ask(["command": "status"])["sessions"]?.integer ?? 0
    StandardError.ask(words(effect, of: network, clients["total"]?.integer ?? 0, of: sessions))
    guard let line = readLine(), isYes(line) else { throw ControlFailure.refused("nothing was done") }
    return true
  }

  static func words(_ effect: String, of network: String, _ count: Int, of sessions: Int) -> String {
    "This ends \(count) of \(Shown.count(sessions, "session")), all from \(network)\(effect). Go on? [y/N] "
  }

  static func isYes(_ line: String) -> Bool { ["y", "yes"].contains(line.lowercased()) }
}
