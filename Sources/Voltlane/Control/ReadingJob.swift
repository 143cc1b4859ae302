import VoltlaneSettings
import VoltlaneText

/// Settings that are to be read: all of them anew, or one that a command gives.
struct ReadingJob: Sendable {
  /// Who asked, for the log.
  let who: String
  /// What a command sets; nil: everything is read anew.
  var change: (entry: SettingEntry, texts: [String])?
  var answer: ControlLoop.Answer?

  /// What it does, once it has.
  var done: String { change.map { "set: \($0.entry.name)" } ?? "reloaded" }

  /// What is answered.
  func report(_ outcome: Reload.Outcome, remark: String?) -> JSON {
    var members = [
      JSON.Member("changes", .array(outcome.changes.map { Self.json($0) })),
      JSON.Member("need_restart", .array(outcome.needRestart.map { Self.json($0) })),
      JSON.Member("warnings", .array(outcome.warnings.map { .string($0) })),
    ]
    if let change {
      members.append(JSON.Member("setting", .string(change.entry.name)))
      members.append(JSON.Member("values", .array(change.texts.map { .string($0) })))
    }
    if let remark { members.append(JSON.Member("remark", .string(remark))) }
    return .object(members)
  }

  private static func json(_ change: Reload.Change) -> JSON {
    ["setting": .string(change.name), "change": .string(change.what), "protects_less": .bool(change.isLowered)]
  }
}
